//! `userIdentity`: who AWS says acted, and with which credentials.

use detector::{Text, Timestamp};
use serde::de::{IgnoredAny, MapAccess};

use crate::decode::fields::fields;
use crate::decode::json::{Fill, Object, Place};
use crate::decode::value::Slot;

use super::record::word;
use super::values::Instant;

fields! {
    /// The fields of `userIdentity`.
    enum Field {
        Type = "type",
        PrincipalId = "principalId",
        Arn = "arn",
        AccountId = "accountId",
        AccessKeyId = "accessKeyId",
        UserName = "userName",
        InvokedBy = "invokedBy",
        SessionContext = "sessionContext",
        OnBehalfOf = "onBehalfOf",
    }
}

/// `userIdentity`.
#[derive(Default)]
pub(super) struct UserIdentity<'de> {
    pub(super) kind: Option<Text<'de>>,
    pub(super) principal_id: Option<Text<'de>>,
    pub(super) arn: Option<Text<'de>>,
    pub(super) account_id: Option<Text<'de>>,
    pub(super) access_key_id: Option<Text<'de>>,
    pub(super) user_name: Option<Text<'de>>,
    pub(super) invoked_by: Option<Text<'de>>,
    pub(super) session: Session<'de>,
    pub(super) on_behalf_of: OnBehalfOf<'de>,
}

impl<'de> Fill<'de> for UserIdentity<'de> {
    type Fields = Field;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: Field,
        map: &mut A,
        place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        match field {
            Field::Type => self.kind = word(map)?,
            Field::PrincipalId => self.principal_id = word(map)?,
            Field::Arn => self.arn = word(map)?,
            Field::AccountId => self.account_id = word(map)?,
            Field::AccessKeyId => self.access_key_id = word(map)?,
            Field::UserName => self.user_name = word(map)?,
            Field::InvokedBy => self.invoked_by = word(map)?,
            Field::SessionContext => map.next_value_seed(Object::nested(&mut self.session, place))?,
            Field::OnBehalfOf => map.next_value_seed(Object::nested(&mut self.on_behalf_of, place))?,
        }
        Ok(())
    }
}

fields! {
    /// The fields of `sessionContext`.
    enum SessionField {
        SourceIdentity = "sourceIdentity",
        Attributes = "attributes",
        SessionIssuer = "sessionIssuer",
    }
}

/// `sessionContext`.
#[derive(Default)]
pub(super) struct Session<'de> {
    pub(super) source_identity: Option<Text<'de>>,
    pub(super) attributes: Attributes,
    pub(super) issuer: Issuer<'de>,
}

impl<'de> Fill<'de> for Session<'de> {
    type Fields = SessionField;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: SessionField,
        map: &mut A,
        place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        match field {
            SessionField::SourceIdentity => self.source_identity = word(map)?,
            SessionField::Attributes => map.next_value_seed(Object::nested(&mut self.attributes, place))?,
            SessionField::SessionIssuer => map.next_value_seed(Object::nested(&mut self.issuer, place))?,
        }
        Ok(())
    }
}

fields! {
    /// The fields of `attributes`.
    enum AttributesField {
        CreationDate = "creationDate",
        MfaAuthenticated = "mfaAuthenticated",
    }
}

/// `attributes` of a session.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) creation_date: Option<Timestamp>,
}

impl<'de> Fill<'de> for Attributes {
    type Fields = AttributesField;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: AttributesField,
        map: &mut A,
        _place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        match field {
            AttributesField::CreationDate => {
                self.creation_date = map.next_value_seed(Slot::<Instant>::NEW)?;
            }
            AttributesField::MfaAuthenticated => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

fields! {
    /// The fields of `sessionIssuer`.
    enum IssuerField {
        Arn = "arn",
    }
}

/// `sessionIssuer`: the role or user whose credentials made the session.
#[derive(Default)]
pub(super) struct Issuer<'de> {
    pub(super) arn: Option<Text<'de>>,
}

impl<'de> Fill<'de> for Issuer<'de> {
    type Fields = IssuerField;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        IssuerField::Arn: IssuerField,
        map: &mut A,
        _place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        self.arn = word(map)?;
        Ok(())
    }
}

fields! {
    /// The fields of `onBehalfOf`.
    enum OnBehalfOfField {
        UserId = "userId",
    }
}

/// `onBehalfOf`: the IAM Identity Center user a call was made for.
#[derive(Default)]
pub(super) struct OnBehalfOf<'de> {
    pub(super) user_id: Option<Text<'de>>,
}

impl<'de> Fill<'de> for OnBehalfOf<'de> {
    type Fields = OnBehalfOfField;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        OnBehalfOfField::UserId: OnBehalfOfField,
        map: &mut A,
        _place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        self.user_id = word(map)?;
        Ok(())
    }
}
