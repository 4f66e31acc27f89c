//! What went wrong, in the words of `wasi:http`.

use std::error::Error as _;
use std::io;

use wasmtime_wasi_http::Error;

use super::Unresolved;

/// Too many open files, of this process or of the machine.
const TOO_MANY: [i32; 2] = [libc::EMFILE, libc::ENFILE];

pub(super) fn of_lookup(error: &Unresolved) -> Error {
    let dns = |rcode: &str| Error::DnsError { rcode: Some(rcode.to_owned()), info_code: None };
    match error {
        Unresolved::Denied | Unresolved::Invalid => Error::HttpRequestDenied,
        Unresolved::Unknown => dns("NXDOMAIN"),
        Unresolved::Timeout => Error::DnsTimeout,
        Unresolved::Refused(why) | Unresolved::Unreachable(why) => dns(why),
    }
}

pub(super) fn of_connect(error: &io::Error) -> Error {
    if error.raw_os_error().is_some_and(|code| TOO_MANY.contains(&code)) {
        return Error::ConnectionLimitReached;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
        _ => Error::DestinationUnavailable,
    }
}

pub(super) fn of_tls(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None if error.kind() == io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        None => of_connect(error),
    }
}

pub(super) fn of_hyper(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_incomplete_message() {
        return Error::HttpResponseIncomplete;
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    if error.source().is_some_and(|source| source.is::<io::Error>()) {
        return Error::ConnectionTerminated;
    }
    // A body of the guest's that failed is told apart by its own error in there.
    Error::Hyper(error)
}
