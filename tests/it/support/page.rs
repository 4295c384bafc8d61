//! The approval page as a browser sees it that knows nothing but forms and cookies.

use reqwest::Method;

use super::http::{self, Answer};

/// An open page.
pub(crate) struct Page {
    url: String,
    cookie: String,
    /// What it shows.
    pub(crate) html: String,
}

impl Page {
    /// Opens it, without any credential.
    pub(crate) fn open(url: &str) -> Self {
        let answer = http::get(url).expect("the page answers").expect(200);
        let set = answer.header("set-cookie");
        let cookie = set.split(';').next().expect("a first part").to_owned();
        assert!(set.contains("HttpOnly") && set.contains("SameSite="), "{set}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        Self { url: url.to_owned(), cookie, html: answer.body }
    }

    /// Fills in the form with these fields and presses a button. Hidden fields go along as they stand.
    pub(crate) fn answer(&self, choice: &str, fields: &[(&str, &str)]) -> Answer {
        let hidden = ["token", "seen"].map(|name| (name, self.hidden(name)));
        let mut form: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
        form.extend(fields);
        form.push(("choice", choice));
        let origin = &self.url[..self.url.find("/approve/").expect("the page's path")];
        let request =
            http::request(Method::POST, &self.url).header("cookie", &self.cookie).header("origin", origin);
        http::send(request.form(&form)).expect("the page answers")
    }

    /// Whether it shows this text, apart from markup.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.html.contains(text)
    }

    fn hidden(&self, name: &str) -> String {
        let mark = format!("type=\"hidden\" name=\"{name}\" value=\"");
        let rest =
            self.html.split_once(&mark).unwrap_or_else(|| panic!("no field `{name}`: {}", self.html)).1;
        rest.split_once('"').expect("a closed attribute").0.to_owned()
    }
}
