//! The patterns of the rules that need no configuration. Those that Relay has find what Relay finds, written anew.

use std::sync::OnceLock;

use regex::{Captures, Regex};

use super::chunks::Redaction;

/// A kind of rule that comes with the sidecar.
#[derive(Debug)]
pub(super) struct Builtin {
    /// The name behind the `@`.
    pub(super) name: &'static str,
    /// The names as a rule's `type`.
    pub(super) types: &'static [&'static str],
    /// What stands for it with the redaction `replace`.
    pub(super) text: &'static str,
    /// The variant that the name alone stands for.
    pub(super) usual: &'static str,
    pub(super) finds: Finds,
    /// The kind that looks for its own part first.
    pub(super) after: Option<&'static str>,
}

/// How a kind of rule finds what it is about.
#[derive(Debug)]
pub(super) enum Finds {
    Anything,
    /// A part of a text: the group of the pattern, where the check does not object.
    Text {
        pattern: Pattern,
        group: usize,
        check: fn(&Captures<'_>) -> bool,
    },
    /// A value by its key or, as a whole, by what is in it.
    Pair {
        key: Pattern,
        value: Pattern,
    },
}

/// A pattern that is compiled when it is first used.
#[derive(Debug)]
pub(super) struct Pattern(&'static str, OnceLock<Regex>);

// === impl Pattern ===

impl Pattern {
    pub(super) const fn new(pattern: &'static str) -> Self {
        Self(pattern, OnceLock::new())
    }

    pub(super) fn regex(&self) -> &Regex {
        self.1.get_or_init(|| Regex::new(self.0).expect("the test compiles them all"))
    }
}

// === impl Builtin ===

impl Builtin {
    /// What is done by a variant.
    pub(super) fn redaction(&self, variant: &str) -> Option<Redaction> {
        Some(match variant {
            "replace" => Redaction::Replace(self.text.to_owned()),
            "mask" => Redaction::Mask,
            "remove" => Redaction::Remove,
            "hash" => Redaction::Hash,
            "filter" => Redaction::Replace("[Filtered]".to_owned()),
            _ => return None,
        })
    }
}

/// A kind that finds parts of texts.
const fn text(name: &'static str, shown: &'static str, pattern: &'static str, group: usize) -> Builtin {
    checked(name, shown, pattern, group, |_| true)
}

const fn checked(
    name: &'static str,
    shown: &'static str,
    pattern: &'static str,
    group: usize,
    check: fn(&Captures<'_>) -> bool,
) -> Builtin {
    let finds = Finds::Text { pattern: Pattern::new(pattern), group, check };
    Builtin { name, types: &[], text: shown, usual: "replace", finds, after: None }
}

const fn pair(
    name: &'static str,
    shown: &'static str,
    usual: &'static str,
    key: &'static str,
    value: &'static str,
) -> Builtin {
    let finds = Finds::Pair { key: Pattern::new(key), value: Pattern::new(value) };
    Builtin { name, types: &[], text: shown, usual, finds, after: None }
}

impl Builtin {
    const fn of_type(mut self, types: &'static [&'static str]) -> Self {
        self.types = types;
        self
    }

    const fn after(mut self, kind: &'static str) -> Self {
        self.after = Some(kind);
        self
    }

    const fn masks(mut self) -> Self {
        self.usual = "mask";
        self
    }
}

/// Never found in a value: some rules go by keys alone.
const NEVER: &str = r"[^\s\S]";

/// The groups of which one has a secret in it.
pub(super) const QUOTES: [&str; 3] = ["double", "single", "value"];

/// All kinds. The names of `of_type` are Relay's.
pub(super) static BUILTINS: [Builtin; 24] = [
    Builtin { name: "anything", types: &["anything"], text: "[Filtered]", usual: "replace", finds: Finds::Anything, after: None },
    text(
        "email",
        "[email]",
        r"\b[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*\.[a-zA-Z]{2,}\b",
        0,
    )
    .of_type(&["email"]),
    text(
        "ip",
        "[ip]",
        r"(?xi)
        \b(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])\b
        | \b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b
        | \b[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}\b)?
        | \B::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}\b)?",
        0,
    )
    .of_type(&["ip"]),
    text(
        "creditcard",
        "[creditcard]",
        r"(?x)\b(?:3[47][0-9]{2}[\ -]?[0-9]{6}[\ -]?[0-9]{5} | (?:4[0-9]{3}|5[1-5][0-9]{2}|6011|65[0-9]{2})(?:[\ -]?[0-9]){12})\b",
        0,
    )
    .of_type(&["creditcard"]),
    text(
        "iban",
        "[iban]",
        r"(?x)\b(?:A[DELTZ]|B[AEGHIRY]|C[HRYZ]|D[EKO]|E[EGS]|F[IOR]|G[BEILRT]|H[RU]|I[ELQRST]|J[OR]|K[WZ]|L[BCITUVY]
        |M[CDEKRTU]|N[LO]|P[KLST]|QA|R[OS]|S[ACEIKMTV]|T[LNR]|UA|V[AG]|XK)[0-9]{2}[a-zA-Z0-9]{11,30}\b",
        0,
    )
    .of_type(&["iban"]),
    text("usssn", "[us-ssn]", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", 0).of_type(&["us_ssn", "usssn"]).masks(),
    text("mac", "[mac]", r"\b(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\b", 0).of_type(&["mac"]).masks(),
    text("imei", "[imei]", r"\b[0-9]{2}-?[0-9]{6}-?[0-9]{6}-?[0-9]{1,2}\b", 0).of_type(&["imei"]),
    text("uuid", "[uuid]", r"(?i)\b[a-f0-9]{8}-?[a-f0-9]{4}-?[a-f0-9]{4}-?[a-f0-9]{4}-?[a-f0-9]{12}\b", 0)
        .of_type(&["uuid"])
        .masks(),
    text("userpath", "[user]", r"(?i)\b(?:users|home)[\\/]([^\\/\r\n\x00]+)", 1).of_type(&["userpath"]),
    text(
        "pemkey",
        "[pemkey]",
        r"(?s)-----BEGIN[A-Z ]* (?:PRIVATE|PUBLIC) KEY-----(?:\r?\n)?(.+?)(?:\r?\n)?-----END [A-Z ]*(?:PRIVATE|PUBLIC) KEY-----",
        1,
    )
    .of_type(&["pemkey"]),
    text("urlauth", "[auth]", r"\b[a-z0-9+.-]+://([a-zA-Z0-9%_.-]+(?::[a-zA-Z0-9%_.-]+)?)@", 1)
        .of_type(&["url_auth", "urlauth"]),
    text("bearer", "Bearer [token]", r"(?i)\bbearer\s+\S+", 0).of_type(&["bearer"]),
    text(
        "cookies",
        "[Filtered]",
        r"(?xi)\b(?:sentrysid|sudo|su|session|__session|sessionid|user_session|symfony|phpsessid|fasthttpsessionid
        |mysession|irissessionid|_vercel_jwt|csrf|xsrf|_xsrf|_csrf|csrf-token|csrf_token|xsrf-token|xsrf_token
        |fastcsrf|_iris_csrf)=([^;]+)",
        1,
    )
    .of_type(&["cookies"]),
    pair(
        "password",
        "[password]",
        "remove",
        r"(?i)password|secret|passwd|api[_-]?key|auth|credentials|mysql_pwd|private[_-]?key|token|^otp$",
        r"(?i)password|secret|passwd|api[_-]?key|auth|credentials|mysql_pwd|private[_-]?key|token\S*?[=:]|^otp$",
    )
    .of_type(&["password"])
    .after("bearer"),
    // What follows is ours.
    pair(
        "secretkey",
        "[secret]",
        "replace",
        r"(?xi)passw(?:or)?d|passphrase|secret|api[_.-]?key|credential|mysql_pwd|private[_-]?key|access[_-]?key|encryption[_-]?key
        |token|authorization|authenticat(?:e|ion)$|cookie|connection[_-]?string|(?:^|[^a-z])(?:auth|pwd|pass|jwt|bearer|csrf|xsrf|otp
        |totp|pin|cvv2?|cvc2?|dsn|session[_-]?id|sessid|sid|card[_-]?number|sig|signature|ssn)(?:$|[^a-z])
        |[a-z](?:Auth|Pwd)$|phpsessid|jsessionid|^card\[number\]$|database_url",
        NEVER,
    ),
    // A value in quotes ends with them; what stands behind the words that parsers say is none.
    checked(
        "secretpair",
        "[secret]",
        r#"(?xi)\b(?P<word>(?:unexpected|expected|invalid|missing|unknown|illegal|bad)\s+)?
        (?:[\w.-]*(?:(?P<secret>passw(?:or)?d|passphrase|pwd|secret(?:[_-]access)?(?:[_-]?key)?)|api[_\ -]?key|access[_-]?key|private[_-]?key|token
        |credentials?|session[_-]?id|jwt|cvv2?|x-amz-signature|x-amz-credential)|auth|otp|pass|pin)[\\"'\]]*
        (?:\s*(?P<mark>=>|:=|=|%3d)\s*|:\s*)
        (?:\\?"(?P<double>[^"\\\r\n]+)|\\?'(?P<single>[^'\\\r\n]+)|(?P<value>[^\s"'&,:;<>\[(){}\\][^\s"'&,;<>(){}\\]*))"#,
        usize::MAX,
        is_secret_pair,
    ),
    text(
        "authorization",
        "[secret]",
        r#"(?i)\b(?:proxy-)?authorization[\\"'\]]*\s*(?:=>|:|=)\s*[\\"'\[]*((?:(?:basic|bearer|digest|token|negotiate|apikey|aws4-hmac-sha256)\s+)?[^\s"',;\[][^\s"',;]*)"#,
        1,
    ),
    text(
        "cookieheader",
        "[Filtered]",
        r#"(?i)\b(?:set-)?cookie[\\"']*\s*(?::|=>)\s*[\\"']*([^\s"'\\=;]+=[^\r\n"'\\]*)"#,
        1,
    ),
    text(
        "urltoken",
        "[secret]",
        r#"(?xi)[?&;\#](?:(?:sig|signature|hmac|auth|jwt|assertion|samlresponse|x-goog-signature)=(?P<value>[^&\#\s"'<>;\[]+)
        |(?:code|state|key|sid|ticket|nonce)=(?P<single>[^&\#\s"'<>;\[]{8,}))"#,
        usize::MAX,
    ),
    text("urlpassword", "[auth]", r#"(?i)\b[a-z][a-z0-9+.-]*://([^\s/?\#"'<>@\[]*(?::[^\s/?\#"'<>]*)?)@"#, 1),
    text(
        "apitoken",
        "[token]",
        r"(?x)\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*
        |\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b
        |\bgh[pousr]_[A-Za-z0-9]{20,255}|\bgithub_pat_[A-Za-z0-9_]{20,255}|\bglpat-[A-Za-z0-9_-]{20,}
        |\bxox[abeoprs](?:-|\.)[A-Za-z0-9.-]{10,}|\bxapp-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]+
        |\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{16,}
        |\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9_-]{20,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
        |\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{20,}|\bsntry[su]_[A-Za-z0-9_=+/.-]{20,}
        |\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|\bdop_v1_[a-f0-9]{64}|\bhv[sb]\.[A-Za-z0-9_-]{20,}|\bglsa_[A-Za-z0-9_]{32,}",
        0,
    ),
    text(
        "privatekey",
        "[pemkey]",
        r"(?s)-----BEGIN[A-Z ]* PRIVATE KEY(?: BLOCK)?-----(.+?)(?:-----END[A-Z ]* PRIVATE KEY(?: BLOCK)?-----|\z)",
        1,
    ),
    checked(
        "homepath",
        "[user]",
        r#"(?:^|[\s"'`(=:,;<\[{]|file://|\\\\\?\\)(?:[A-Za-z]:)?(?:/home/|/Users/|[\\/]{1,2}Users[\\/]{1,2})([^\\/\s:"'`<>|;,)\]}\[]+)"#,
        1,
        |found| found.get(1).is_some_and(|name| !matches!(name.as_str(), "Shared" | "Public" | "Default" | "linuxbrew")),
    ),
];

/// Whether a pair in a text is one, and not a parser's complaint such as ``unexpected token: `}` ``.
fn is_secret_pair(found: &Captures<'_>) -> bool {
    let value = QUOTES.iter().find_map(|name| found.name(name)).map_or("", |value| value.as_str());
    let nothing =
        matches!(value.to_ascii_lowercase().as_str(), "none" | "null" | "nil" | "undefined" | "true" | "false");
    // A plain word behind a colon is one of a sentence, unless it is about a password.
    let sentence = found.name("mark").is_none() && value.bytes().all(|byte| byte.is_ascii_lowercase());
    let secret = found.name("secret").is_some() && value.len() >= 6;
    found.name("word").is_none() && !nothing && (!sentence || secret)
}
