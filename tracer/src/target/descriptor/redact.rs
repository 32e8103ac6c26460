//! What `--redact` leaves of addresses: enough to tell where trouble is, not whose it is.

use std::net::{IpAddr, SocketAddr};

/// Where the kernel's own choice of ports begins (`net.ipv4.ip_local_port_range`).
const FIRST_CHOSEN_BY_KERNEL: u16 = 32_768;

/// An address by its class, `loopback`, `private` or `public`, with its port when somebody chose it: below 32768 it
/// names the service, and from there on only the connection, which becomes `*`. Link-local addresses are private.
#[must_use]
pub fn address(address: SocketAddr) -> String {
    let class = match address.ip() {
        ip if ip.is_unspecified() => "any",
        ip if ip.is_loopback() => "loopback",
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => "private",
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => "private",
        _ => "public",
    };
    if address.port() < FIRST_CHOSEN_BY_KERNEL {
        format!("{class}:{}", address.port())
    } else {
        format!("{class}:*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_class_and_its_service() {
        let of = |text: &str| address(text.parse().unwrap());
        assert_eq!(of("127.0.0.1:5432"), "loopback:5432");
        assert_eq!(of("10.1.2.3:41234"), "private:*");
        assert_eq!(of("93.184.216.34:443"), "public:443");
        assert_eq!(of("[::]:80"), "any:80");
        assert_eq!(of("[fd00::1]:80"), "private:80");
        assert_eq!(of("[fe80::1]:80"), "private:80");
        assert_eq!(of("[2001:db8::1]:32768"), "public:*");
    }
}
