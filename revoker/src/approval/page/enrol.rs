//! The page where somebody with a link becomes an approver.

use detector::visible;
use maud::{Markup, PreEscaped, html};
use qrcode::QrCode;
use qrcode::render::svg;

use super::frame;
use super::words::clock;
use crate::approval::{Enrolment, FormToken, Link};

/// Pixels of the code's drawing, at least.
const QR_SIZE: u32 = 220;

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The address.
    pub link: &'a Link,
    /// What it is good for.
    pub standing: &'a Enrolment,
    /// Ties the form to this page and this browser.
    pub token: &'a FormToken,
    /// Why the last form was not accepted, if this is the page after one.
    pub told: Option<Told>,
}

/// Why nothing was enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Not the code of this secret.
    WrongCode,
    /// Not a passkey made here and now.
    WrongPasskey,
    /// It was enrolled already.
    Over,
    /// The form was not this page's.
    Stale,
}

impl Told {
    fn text(self) -> &'static str {
        match self {
            Self::WrongCode => {
                "That is not the code your app should show now. Check that you scanned this very picture and that the clock of your \
                 phone is right."
            }
            Self::WrongPasskey => "Your device's answer did not fit. Nothing was enrolled; try again.",
            Self::Over => "This was enrolled already. Nothing was changed.",
            Self::Stale => "The form was out of date. Nothing was enrolled; answer again below.",
        }
    }
}

/// The page, with what may still be enrolled by the link.
pub fn page(asked: &Asked<'_>) -> Markup {
    let name = visible(asked.standing.name.as_str());
    let body = html! {
        div.card.state.ask {
            p.kicker { "For " (name) " alone" }
            h1 { "Become an approver" }
            p.lead { "When an AI agent is stopped, you are asked whether it may go on. Enrol how you will prove that it is you. The link is \
                good until " (clock(asked.standing.expires_at)) "." }
        }
        @if let Some(told) = asked.told { div.problem role="alert" { p { (told.text()) } } }
        @if asked.standing.may_passkey { (passkey(asked)) }
        @if let Some(address) = &asked.standing.otpauth { (totp(asked, address)) }
    };
    frame(&format!("Become an approver: {name}"), &body)
}

fn passkey(asked: &Asked<'_>) -> Markup {
    html! {
        section.card aria-labelledby="with-passkey" {
            h2 #with-passkey { "With a passkey" }
            p { "Your fingerprint, face, screen lock or security key. It cannot be phished, and some answers take one." }
            form method="post" action=(asked.link.path()) data-passkey hidden {
                input type="hidden" name="token" value=(asked.token.as_str());
                input type="hidden" name="choice" value="enrol";
                input type="hidden" name="passkey" value="";
                div.field {
                    label for="label" { "What you call it" }
                    input #label name="label" maxlength="64" autocomplete="off" placeholder="Phone";
                }
                div.choices { button.approve type="button" data-choice="enrol" { "Make a passkey" } }
            }
            p #passkey-note role="status" aria-live="polite" {}
            noscript { p.warn { "Making a passkey needs JavaScript, which this browser does not run." } }
        }
    }
}

fn totp(asked: &Asked<'_>, address: &str) -> Markup {
    let secret = address.split_once("secret=").map_or("", |(_, rest)| rest.split('&').next().unwrap_or(rest));
    html! {
        section.card aria-labelledby="with-app" {
            h2 #with-app { "With an authenticator app" }
            p { "Scan the picture, then type the six digits that the app shows." }
            div.two {
                div.qr { (drawing(address)) }
                div {
                    p.help { "No camera? Type this secret into the app:" }
                    p { code.secret { (secret) } }
                    form method="post" action=(asked.link.path()) autocomplete="off" {
                        input type="hidden" name="token" value=(asked.token.as_str());
                        div.field {
                            label for="code" { "One-time code" }
                            input #code name="code" required inputmode="numeric" maxlength="9" autocomplete="one-time-code"
                                aria-invalid=[(asked.told == Some(Told::WrongCode)).then_some("true")];
                        }
                        div.choices { button.deny type="submit" { "Enrol this app" } }
                    }
                }
            }
        }
    }
}

fn drawing(address: &str) -> Markup {
    let Ok(code) = QrCode::new(address) else { return html! {} };
    let svg = code.render::<svg::Color<'_>>().min_dimensions(QR_SIZE, QR_SIZE).build();
    // Of the document that the library writes, the drawing: what stands before it is a declaration.
    let drawing = svg.find("<svg").map_or("", |at| &svg[at..]);
    html! { div role="img" aria-label="The secret as a QR code" { (PreEscaped(drawing)) } }
}

/// The page after something was enrolled, with the recovery codes where these are the first.
pub fn done(link: &Link, standing: &Enrolment, codes: &[String]) -> Markup {
    let more = standing.otpauth.is_some() || standing.may_passkey;
    let body = html! {
        div.card.state.good role="status" {
            h1 { "You are enrolled" }
            p { (visible(standing.name.as_str())) ", you can answer from now on." }
            @if more { p { a href=(link.path()) { "Enrol another way too" } } }
        }
        @if !codes.is_empty() {
            section.card aria-labelledby="recovery" {
                h2 #recovery { "Recovery codes" }
                p { "Each stands for a one-time code, once. Keep them where your phone is not; they are not shown again." }
                ul.codes { @for code in codes { li { code { (code) } } } }
            }
        }
    };
    frame("You are enrolled", &body)
}
