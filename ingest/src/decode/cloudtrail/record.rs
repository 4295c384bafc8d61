//! A CloudTrail record as AWS writes it, as far as a call is made of it.
//!
//! Fields: AWS CloudTrail user guide, "CloudTrail record contents" (event version 1.11) and "`userIdentity` element".

use std::net::IpAddr;

use detector::{Text, Timestamp};
use serde::de::{IgnoredAny, MapAccess};

use crate::decode::fields::fields;
use crate::decode::json::{Fill, Object, Place};
use crate::decode::value::{Slot, Truth, Word};

use super::identity::UserIdentity;
use super::values::{First, Instant, IpOrName, Presence};

fields! {
    /// The fields of a record.
    enum Field {
        EventId = "eventID",
        EventTime = "eventTime",
        EventSource = "eventSource",
        EventName = "eventName",
        EventType = "eventType",
        UserIdentity = "userIdentity",
        SourceIpAddress = "sourceIPAddress",
        UserAgent = "userAgent",
        ErrorCode = "errorCode",
        ErrorMessage = "errorMessage",
        ReadOnly = "readOnly",
        Resources = "resources",
        RecipientAccountId = "recipientAccountId",
        // Known to exist, and no part of a call.
        AdditionalEventData = "additionalEventData",
        Addendum = "addendum",
        ApiVersion = "apiVersion",
        AwsRegion = "awsRegion",
        EdgeDeviceDetails = "edgeDeviceDetails",
        EventCategory = "eventCategory",
        EventContext = "eventContext",
        EventVersion = "eventVersion",
        InsightDetails = "insightDetails",
        ManagementEvent = "managementEvent",
        RequestId = "requestID",
        RequestParameters = "requestParameters",
        ResponseElements = "responseElements",
        ServiceEventDetails = "serviceEventDetails",
        SessionCredentialFromConsole = "sessionCredentialFromConsole",
        SharedEventId = "sharedEventID",
        TlsDetails = "tlsDetails",
        VpcEndpointAccountId = "vpcEndpointAccountId",
        VpcEndpointId = "vpcEndpointId",
    }
}

/// A record.
#[derive(Default)]
pub(super) struct Record<'de> {
    pub(super) event_id: Option<Text<'de>>,
    pub(super) event_time: Option<Timestamp>,
    pub(super) event_source: Option<Text<'de>>,
    pub(super) event_name: Option<Text<'de>>,
    pub(super) event_type: Option<Text<'de>>,
    pub(super) user_identity: UserIdentity<'de>,
    pub(super) source_ip: Option<IpAddr>,
    pub(super) user_agent: Option<Text<'de>>,
    pub(super) error_code: Option<Text<'de>>,
    pub(super) failed: bool,
    pub(super) read_only: Option<bool>,
    pub(super) resource: Resource<'de>,
    pub(super) recipient_account_id: Option<Text<'de>>,
}

impl<'de> Fill<'de> for Record<'de> {
    type Fields = Field;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: Field,
        map: &mut A,
        place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        match field {
            Field::EventId => self.event_id = word(map)?,
            Field::EventTime => self.event_time = map.next_value_seed(Slot::<Instant>::NEW)?,
            Field::EventSource => self.event_source = word(map)?,
            Field::EventName => self.event_name = word(map)?,
            Field::EventType => self.event_type = word(map)?,
            Field::UserIdentity => map.next_value_seed(Object::nested(&mut self.user_identity, place))?,
            Field::SourceIpAddress => self.source_ip = map.next_value_seed(Slot::<IpOrName>::NEW)?,
            Field::UserAgent => self.user_agent = word(map)?,
            Field::ErrorCode => self.error_code = word(map)?,
            Field::ErrorMessage => self.failed = map.next_value_seed(Slot::<Presence>::NEW)?.is_some(),
            Field::ReadOnly => self.read_only = map.next_value_seed(Slot::<Truth>::NEW)?,
            Field::Resources => map.next_value_seed(First(Object::nested(&mut self.resource, place)))?,
            Field::RecipientAccountId => self.recipient_account_id = word(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

fields! {
    /// The fields of an element of `resources`.
    enum ResourceField {
        Arn = "ARN",
        ArnPrefix = "ARNPrefix",
    }
}

/// An element of `resources`.
#[derive(Default)]
pub(super) struct Resource<'de> {
    pub(super) arn: Option<Text<'de>>,
}

impl<'de> Fill<'de> for Resource<'de> {
    type Fields = ResourceField;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: ResourceField,
        map: &mut A,
        _place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        let text = word(map)?;
        match field {
            ResourceField::Arn => self.arn = text.or(self.arn.take()),
            ResourceField::ArnPrefix => self.arn = self.arn.take().or(text),
        }
        Ok(())
    }
}

/// A text.
pub(super) fn word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Text<'de>>, A::Error> {
    map.next_value_seed(Slot::<Word>::NEW)
}
