//! The operator's table of networks and their providers: a CSV file of `cidr,provider`.

use std::path::Path;

use detector::{Network, PROVIDERS_MAX, Providers};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// The longest name of a provider, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Why the table cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworksError {
    #[error("[detector] networks_file: {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("[detector] networks_file: {file}: {reason}")]
    TooLong { file: String, reason: String },
    #[error("[detector] networks_file: {file}, line {line}: {reason}")]
    Line { file: String, line: usize, reason: String },
}

/// The table in `file`. Empty lines and those that begin with `#` say nothing, and neither does a first line `cidr,provider`.
pub(super) fn read(file: &str) -> Result<Providers, NetworksError> {
    let failed = |source| NetworksError::Read { file: file.to_owned(), source };
    let len = std::fs::metadata(Path::new(file)).map_err(failed)?.len();
    if len > FILE_BYTES_MAX {
        let reason = format!("{len} bytes; {FILE_BYTES_MAX} is the limit");
        return Err(NetworksError::TooLong { file: file.to_owned(), reason });
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let mut rows: Vec<(Network, &str)> = Vec::new();
    for (n, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') || (n == 0 && line.eq_ignore_ascii_case("cidr,provider"))
        {
            continue;
        }
        let row =
            row(line).map_err(|reason| NetworksError::Line { file: file.to_owned(), line: n + 1, reason })?;
        rows.push(row);
        if rows.len() > PROVIDERS_MAX {
            let reason = format!("more than {PROVIDERS_MAX} networks");
            return Err(NetworksError::TooLong { file: file.to_owned(), reason });
        }
    }
    Ok(Providers::new(rows))
}

fn row(line: &str) -> Result<(Network, &str), String> {
    let (network, provider) = line.split_once(',').ok_or("must read `cidr,provider`")?;
    let provider = unquoted(provider.trim());
    if provider.is_empty() || provider.len() > NAME_BYTES_MAX {
        return Err(format!("a provider's name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    let network = unquoted(network.trim()).parse().map_err(|e: detector::NetworkError| e.to_string())?;
    Ok((network, provider))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Providers, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("networks.csv");
        std::fs::write(&file, text).unwrap();
        read(file.to_str().unwrap())
            .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn a_table_is_read_and_a_wrong_line_is_named() {
        let table =
            said("cidr,provider\n# ours\n10.0.0.0/8,house\n\n\"2001:db8::/32\",\"A cloud, Inc.\"\n").unwrap();
        let rows = [("10.0.0.0/8", "house"), ("2001:db8::/32", "A cloud, Inc.")];
        assert_eq!(table, Providers::new(rows.map(|(net, name)| (net.parse().unwrap(), name))));
        for (text, wanted) in [
            (
                "10.0.0.0/8 house\n",
                "[detector] networks_file: DIR/networks.csv, line 1: must read `cidr,provider`",
            ),
            ("10.0.0.0/8,a\n10.0.0.1/8,b\n", "line 2: `10.0.0.1/8` has bits beyond its prefix"),
            ("10.0.0.0/8,\n", "line 1: a provider's name has 1 to 256 bytes"),
            ("mars,nasa\n", "line 1: `mars` is no network such as"),
        ] {
            let why = said(text).unwrap_err();
            assert!(why.contains(wanted), "{why}");
        }
        let why = read("/nowhere/networks.csv").unwrap_err().to_string();
        assert!(why.starts_with("[detector] networks_file: /nowhere/networks.csv: No such file"), "{why}");
    }
}
