//! System calls by number: what code that was smuggled in would make, past every wrapper.
#![allow(unsafe_code, reason = "an attacker makes any system call with any argument")]

use std::ffi::CStr;
use std::io;

/// Makes a system call; the sixth argument is never needed. Pointers must be valid for what the call does with them.
pub fn call(number: libc::c_long, args: [i64; 5]) -> io::Result<i64> {
    let [a, b, c, d, e] = args;
    // SAFETY: every caller passes integers, or pointers to values that outlive the call and are as large as it expects.
    match unsafe { libc::syscall(number, a, b, c, d, e, 0i64) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// A call that makes a process: the child, if there is one, ends at once.
pub fn fork(number: libc::c_long, args: [i64; 5]) -> io::Result<i64> {
    let result = call(number, args)?;
    if result == 0 {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) }
    }
    Ok(result)
}

/// A string as a call's argument.
pub fn text(text: &CStr) -> i64 {
    text.as_ptr() as i64
}

/// Bytes as a call's argument.
pub fn bytes<T>(value: &mut [T]) -> i64 {
    value.as_mut_ptr() as i64
}

/// `struct sockaddr_un`: a path, or a name that begins with NUL. With its length.
pub fn unix_address(name: &[u8]) -> (Vec<u8>, i64) {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend_from_slice(name);
    let length = address.len() as i64;
    (address, length)
}

/// `struct sockaddr_in` of a port of this machine.
pub fn loopback(port: u16) -> Vec<u8> {
    let mut address = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    address.extend(port.to_be_bytes());
    address.extend([127, 0, 0, 1]);
    address.resize(16, 0);
    address
}
