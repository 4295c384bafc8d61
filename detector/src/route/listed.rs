//! What a manifest lists, by the names and templates it lists it by: no other agent's templates, nor what is learned, has a say.

use super::path::{self, Path};
use super::template::Templates;
use super::{MCP_CALL, is_path};
use crate::Call;

/// Endpoints of one manifest. A path without a method stands for all, one without an operation for all of these.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listed {
    /// Tools and operations of services, in order.
    names: Vec<Box<str>>,
    /// By operation; none for any.
    paths: Vec<(Option<Box<str>>, Templates)>,
}

impl Listed {
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = &'a String>) -> Self {
        let mut listed = Self::default();
        for entry in entries {
            if !is_path(entry) {
                listed.names.push(entry.as_str().into());
                continue;
            }
            let operation = Templates::operation(entry);
            let at = listed.paths.iter().position(|(o, _)| o.as_deref() == operation).unwrap_or_else(|| {
                listed.paths.push((operation.map(Into::into), Templates::default()));
                listed.paths.len() - 1
            });
            listed.paths[at].1.add(entry);
        }
        listed.names.sort_unstable();
        listed
    }

    /// Whether what `call` calls is listed.
    pub(crate) fn holds(&self, call: &Call<'_>) -> bool {
        let operation = call.operation.as_deref();
        let Some((method, url)) = path::split(&call.endpoint) else {
            let is_tool = &*call.endpoint == MCP_CALL && operation.is_some_and(|tool| self.names(tool));
            return is_tool || self.names(&call.endpoint);
        };
        if self.paths.is_empty() {
            return false;
        }
        let method = method.unwrap_or_else(|| path::method(call.method.as_deref()));
        let mut path = Path::default();
        path.read(url);
        let fits = |of: &Option<Box<str>>| of.is_none() || of.as_deref() == operation;
        self.paths.iter().any(|(of, templates)| fits(of) && templates.find(&path, method).is_some())
    }

    fn names(&self, name: &str) -> bool {
        self.names.binary_search_by(|n| (**n).cmp(name)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_list_holds_what_its_names_and_templates_stand_for() {
        let entries = [
            "send_email",
            "/users/{id}",
            "GET /admin/health",
            "POST /graphql getUser",
            "https://pay.example/v1/refunds",
        ];
        let listed = Listed::new(&entries.map(String::from));
        let holds = |endpoint: &'static str, method: &'static str, operation: &'static str| {
            let mut call = Call::new("e", Timestamp::from_millis(0), "a", endpoint);
            call.method = (!method.is_empty()).then(|| method.into());
            call.operation = (!operation.is_empty()).then(|| operation.into());
            listed.holds(&call)
        };
        assert!(holds("send_email", "", "") && holds("tools/call", "", "send_email"));
        assert!(!holds("tools/call", "", "drop_table") && !holds("send_emails", "", ""));
        for method in ["", "GET", "HEAD", "PROPFIND"] {
            assert!(holds("/users/7?x=1", method, "") && holds("/users//7/", method, "byId"), "{method}");
        }
        assert!(!holds("/users/7/keys", "GET", "") && !holds("/users", "GET", ""));
        assert!(holds("/admin/health", "GET", "") && holds("GET /admin/health", "", ""));
        assert!(!holds("/admin/health", "POST", ""));
        assert!(holds("/graphql", "POST", "getUser") && !holds("/graphql", "POST", "dropUser"));
        assert!(!holds("/graphql", "POST", ""));
        assert!(holds("https://PAY.example:443/v1/refunds", "POST", "") && !holds("/v1/refunds", "POST", ""));
        // As servers read it, and not as it is written.
        assert!(holds("/users/x/../7", "GET", "") && !holds("/users/../admin/keys", "GET", ""));
    }
}
