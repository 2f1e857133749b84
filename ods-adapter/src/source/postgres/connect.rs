//! Connecting to a database: TLS and where the password is from.

use std::error::Error as _;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use crate::manifest::{PostgresSpec, Tls};

/// How long a server may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a silent connection is taken for alive.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(60);

/// What ends the query of a connection.
pub(super) struct Cancel {
    token: CancelToken,
    tls: Option<MakeRustlsConnect>,
}

impl Cancel {
    /// Asks the server to end the query that runs; one that has not begun is not ended.
    pub(super) async fn ask(&self) {
        let asked = async {
            match &self.tls {
                Some(tls) => self.token.cancel_query(tls.clone()).await,
                None => self.token.cancel_query(NoTls).await,
            }
        };
        // Whether it was ended shows by the query.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, asked).await;
    }
}

/// Connects; the connection is driven by the current runtime. What is wrong names what to do, and
/// never the password.
pub(super) async fn connect(spec: &PostgresSpec) -> Result<(Client, Cancel), String> {
    let mut config = Config::new();
    config.host(&spec.host).port(spec.port).dbname(&spec.database).user(&spec.user);
    config.application_name("sealgate").connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVES_IDLE);
    if let Some(password) = password(spec)? {
        config.password(password.as_bytes());
    }
    let failed = |error: tokio_postgres::Error| format!("no connection as '{}': {}", spec.user, said(&error));
    match &spec.tls {
        Tls::Off => {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            tokio::spawn(connection);
            let cancel = Cancel { token: client.cancel_token(), tls: None };
            Ok((client, cancel))
        }
        Tls::VerifyFull(ca) => {
            config.ssl_mode(SslMode::Require);
            let tls = MakeRustlsConnect::new(client_config(ca.as_deref())?);
            let (client, connection) =
                config.connect(tls.clone()).await.map_err(|error| match certificate_fault(&error) {
                    Some(fault) => format!("no connection as '{}': {fault}", spec.user),
                    None => failed(error),
                })?;
            tokio::spawn(connection);
            let cancel = Cancel { token: client.cancel_token(), tls: Some(tls) };
            Ok((client, cancel))
        }
    }
}

fn client_config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |what: &dyn std::fmt::Display| format!("'ca' {}: {what}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"no certificate in it; a PEM file of authorities is needed"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system trusts no certificate authority: name the database's as 'ca' in the manifest".into()
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What is wrong with the server's certificate, if that is it.
fn certificate_fault(error: &tokio_postgres::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(current) = cause {
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| current.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(fault)) = tls {
            return Some(format!(
                "the server's certificate was refused ({fault}): 'ca' must name the authority that signed it, and \
                 'host' the name that it is for"
            ));
        }
        cause = current.source();
    }
    None
}

/// An error with its causes; of a server's own, message, detail and hint.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        let mut text = server.message().to_owned();
        for more in [server.detail(), server.hint()].into_iter().flatten() {
            let _ = write!(text, "; {more}");
        }
        return text;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let _ = write!(text, ": {current}");
        cause = current.source();
    }
    text
}

/// The password: from the manifest's file, PGPASSWORD, or the password file as libpq reads it.
fn password(spec: &PostgresSpec) -> Result<Option<Zeroizing<String>>, String> {
    if let Some(path) = &spec.password_file {
        let text = read_private(path)?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(format!("'password_file' {}: its first line is empty", path.display()));
        }
        return Ok(Some(Zeroizing::new(line.to_owned())));
    }
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Ok(Some(Zeroizing::new(password)));
    }
    let home = std::env::home_dir().map(|home| home.join(".pgpass"));
    let Some(path) = std::env::var_os("PGPASSFILE").map(PathBuf::from).or(home).filter(|path| path.is_file()) else {
        return Ok(None);
    };
    Ok(of_pgpass(&read_private(&path)?, spec))
}

/// Reads a file that nobody else may read.
fn read_private(path: &Path) -> Result<Zeroizing<String>, String> {
    let failed = |error: std::io::Error| format!("password file {}: {error}", path.display());
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(format!("password file {path}: others may read it (mode {:o}); chmod 600 {path}", mode & 0o777));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)
}

/// The password of the first line `host:port:database:user:password` that fits
/// (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).
fn of_pgpass(text: &str, spec: &PostgresSpec) -> Option<Zeroizing<String>> {
    let host = if spec.host.starts_with('/') { "localhost" } else { &spec.host };
    let port = spec.port.to_string();
    let wanted = [host, &port, &spec.database, &spec.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = pgpass_fields(line);
        let password = fields.pop()?;
        let fits = |(field, wanted): (&Zeroizing<String>, &&str)| **field == "*" || field.as_str() == *wanted;
        (fields.len() == wanted.len() && fields.iter().zip(&wanted).all(fits)).then_some(password)
    })
}

/// The fields of a line, in which a backslash stands before a colon or backslash; the last field
/// goes on to the line's end.
fn pgpass_fields(line: &str) -> Vec<Zeroizing<String>> {
    let mut fields = vec![Zeroizing::new(String::new())];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' if fields.len() < 5 => fields.push(Zeroizing::new(String::new())),
            c => {
                let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Relation;

    #[test]
    fn the_password_file_is_read_as_libpq_reads_it() {
        let spec = |host: &str, user: &str| PostgresSpec {
            host: host.into(),
            port: 5432,
            database: "a:b".into(),
            user: user.into(),
            relation: Relation::Table(vec!["t".into()]),
            tls: Tls::Off,
            password_file: None,
        };
        let text = "# *:*:*:*:comment\ndb:5433:a\\:b:me:wrong port\ndb:5432:a\\:b:me:p:a\\\\s\\:s\n\
                    localhost:*:*:me:socket's\nshort:line\n*:*:*:other:second";
        let found = |host, user| of_pgpass(text, &spec(host, user)).map(|password| password.to_string());
        assert_eq!(found("db", "me").as_deref(), Some("p:a\\s:s"));
        assert_eq!(found("/run/postgresql", "me").as_deref(), Some("socket's"));
        assert_eq!(found("elsewhere", "other").as_deref(), Some("second"));
        assert_eq!(found("elsewhere", "me"), None);
    }

    #[test]
    fn a_password_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "secret word\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = read_private(&path).unwrap_err();
        assert!(refused.contains("chmod 600") && !refused.contains("secret"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*read_private(&path).unwrap(), "secret word\n");
    }
}
