//! What went wrong in a store, in words: what, where, and what to try.

use crate::error::{Error, without_secrets};
use std::error::Error as StdError;

/// Error codes of stores that have a better description than their own message.
const CODES: &[(&[&str], &str, &str)] = &[
    (
        &["NoSuchBucket", "ContainerNotFound"],
        "the bucket does not exist",
        "check its spelling, and the endpoint: .whoami LOCATION shows it",
    ),
    (&["NoSuchKey", "BlobNotFound"], "there is no such file", ""),
    (
        &[
            "AccessDenied",
            "AllAccessDisabled",
            "Forbidden",
            "AuthorizationPermissionMismatch",
        ],
        "access is denied",
        ".whoami LOCATION shows which credentials are used",
    ),
    (
        &["InvalidAccessKeyId"],
        "the store does not know the access key",
        ".whoami LOCATION shows where it comes from; an endpoint of another provider is set with s3_endpoint",
    ),
    (
        &["SignatureDoesNotMatch", "AuthenticationFailed"],
        "the store does not accept the signature: the secret key does not belong to the access key",
        ".whoami LOCATION shows where they come from",
    ),
    (
        &[
            "ExpiredToken",
            "TokenRefreshRequired",
            "ExpiredTokenException",
            "InvalidToken",
        ],
        "the session token has expired or is not valid",
        "sign in again, for example with `aws sso login`, or get new keys",
    ),
    (
        &[
            "AuthenticationRequired",
            "MissingSecurityHeader",
            "NoAuthenticationInformation",
        ],
        "the store wants credentials",
        ".whoami LOCATION shows which are used",
    ),
    (
        &["RequestTimeTooSkewed", "RequestExpired"],
        "the clock of this machine differs from the store's by too much",
        "set the clock, for example by NTP",
    ),
    (
        &[
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "TemporaryRedirect",
        ],
        "the bucket is in another region",
        "leave s3_region empty, so that the region is found, or set it to the bucket's",
    ),
    (
        &["SlowDown", "ServiceUnavailable", "ServerBusy", "TooManyRequests"],
        "the store is too busy and stayed so",
        "run the statement again later, or with fewer threads",
    ),
    (&["InvalidBucketName"], "that is not the name of a bucket", ""),
    (
        &["InvalidObjectState"],
        "the file is archived and must be restored before it can be read",
        "restore it from Glacier, or leave it out",
    ),
    (
        &["NotImplemented", "XNotImplemented"],
        "the store does not know this request",
        "it may not speak all of the protocol that its scheme stands for",
    ),
];

/// What transports say, and what it means.
const TRANSPORT: &[(&[&str], &str, &str)] = &[
    (
        &["Received redirect without LOCATION"],
        "the bucket is in another region",
        "leave s3_region empty, so that the region is found, or set it to the bucket's",
    ),
    (
        &[
            "dns error",
            "failed to lookup address",
            "Name or service not known",
            "no record found",
        ],
        "the host cannot be found",
        "check its name and the network",
    ),
    (
        &["Connection refused"],
        "the connection was refused",
        "check host and port of the endpoint, and whether the store runs",
    ),
    (
        &[
            "invalid peer certificate",
            "certificate",
            "CertificateRequired",
            "HandshakeFailure",
            "InvalidContentType",
            "corrupt message",
        ],
        "no secure connection could be made",
        "check that the endpoint speaks TLS, and its certificate; a plain one starts with http:// and needs allow_http",
    ),
    (
        &["Range request not supported"],
        "the server does not give parts of files",
        "copy the file to a disk or a bucket",
    ),
    (
        &["operation timed out", "timed out", "deadline has elapsed"],
        "the store did not answer in time",
        "run the statement again; check the network",
    ),
    (
        &[
            "connection closed before message completed",
            "Connection reset",
            "Broken pipe",
            "unexpected EOF",
            "end of file before message length",
        ],
        "the connection was lost",
        "run the statement again; check the network",
    ),
    (
        &["Network is unreachable", "No route to host"],
        "the host cannot be reached",
        "check the network",
    ),
];

/// An error of a store about what is called `name`.
pub(super) fn store_error(name: &str, e: object_store::Error) -> Error {
    let name = without_secrets(name);
    if let Some(own) = find_own(&e) {
        return own.clone().context(name);
    }
    use object_store::Error as E;
    let text = chain(&e);
    let code = element(&text, "Code");
    if let Some((_, what, hint)) = code.as_deref().and_then(|code| lookup(CODES, |t| t == code)) {
        return worded(&name, what, hint, &text);
    }
    match &e {
        E::NotFound { .. } => return worded(&name, "there is no such file", "", ""),
        E::Precondition { .. } => {
            return worded(
                &name,
                "the file changed while it was read",
                "run the statement again",
                "",
            );
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } if code.is_none() => {
            let hint = if text.contains("status code") {
                ".whoami LOCATION shows which credentials are used"
            } else {
                ""
            };
            return worded(&name, "permission denied", hint, "");
        }
        _ => {}
    }
    if let Some((_, what, hint)) = lookup(TRANSPORT, |t| text.contains(t)) {
        return worded(&name, what, hint, &text);
    }
    match (code, element(&text, "Message"), status(&text)) {
        (Some(code), message, _) => Error::storage(format!(
            "{name}: the store answered {code}: {}",
            message.unwrap_or_default()
        )),
        (None, _, Some(status)) => worded(&name, &format!("the store answered with status {status}"), "", &text),
        // The innermost cause says what the operating system said.
        _ => Error::storage(format!("{name}: {}", without_secrets(&innermost(&e)))),
    }
}

type Entry = (&'static [&'static str], &'static str, &'static str);

fn lookup(table: &'static [Entry], matches: impl Fn(&str) -> bool) -> Option<&'static Entry> {
    table.iter().find(|(texts, ..)| texts.iter().any(|t| matches(t)))
}

fn worded(name: &str, what: &str, hint: &str, text: &str) -> Error {
    let place = host(text).map_or_else(String::new, |host| format!(" ({host})"));
    let error = Error::storage(format!("{name}: {what}{place}"));
    match hint {
        "" => error,
        hint => error.with_hint(hint),
    }
}

/// The scheme and host that a request went to, when that is not plain from the location.
fn host(text: &str) -> Option<String> {
    let at = text.find("Error performing ")?;
    let address = text.get(at..)?.split_whitespace().find(|w| w.starts_with("http"))?;
    let url = url::Url::parse(address).ok()?;
    Some(url.origin().ascii_serialization()).filter(|origin| origin != "null")
}

fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.split(':').next()
}

/// The texts of an error and all of its causes.
fn chain(e: &(dyn StdError + 'static)) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// The text of the innermost cause.
pub(super) fn innermost(e: &(dyn StdError + 'static)) -> String {
    let mut cause = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// An error of ours that a client carried.
fn find_own<'a>(e: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut cause = Some(e);
    while let Some(inner) = cause {
        if let Some(own) = inner.downcast_ref::<Error>() {
            return Some(own);
        }
        cause = inner.source();
    }
    None
}

/// One of our errors on its way through a client.
pub(super) fn as_store_error(error: Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "credentials",
        source: Box::new(error),
    }
}

/// The text of the first XML element with this name.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'");
    Some(text.replace("&amp;", "&"))
}
