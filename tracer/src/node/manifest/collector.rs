//! Where the agent of a node sends what it sees.

use std::fmt;
use std::str::FromStr;

use crate::node::{Endpoint, EndpointError};

/// What stands for the node's own address, where a collector of each node listens. The kubelet fills it in.
const NODE: &str = "$(NODE_IP)";

/// An OTLP receiver, of all nodes or of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// As it was given.
    text: String,
    endpoint: Endpoint,
}

impl Collector {
    /// Its TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.endpoint.port
    }
}

impl FromStr for Collector {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // Other variables are not there to be filled in.
        let endpoint = text.replacen(&format!("//{NODE}"), "//192.0.2.1", 1).parse()?;
        if text.replacen(NODE, "", 1).contains("$(") {
            return Err(EndpointError::Form);
        }
        Ok(Self { text: text.to_owned(), endpoint })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_its_own_address_and_no_other_variable() {
        let port = |text: &str| text.parse::<Collector>().map(|collector| collector.port());
        assert_eq!(port("http://$(NODE_IP):4318"), Ok(4318));
        assert_eq!(port("http://collector.monitoring:4318/otlp"), Ok(4318));
        for refused in ["http://$(HOST_IP):4318", "http://a/$(NODE_IP)/$(OTHER)", "$(NODE_IP)"] {
            assert_eq!(port(refused), Err(EndpointError::Form), "{refused}");
        }
        assert_eq!(port("https://$(NODE_IP)"), Err(EndpointError::Tls));
    }
}
