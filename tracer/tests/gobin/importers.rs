//! Who imports a package, as the code proves it, against what the sources of the programs and of Go say.

use std::collections::BTreeSet;

use crate::fixtures::open;
use crate::support::fixtures_of;

/// Packages of every version of the program, with all that import them in it.
const IMPORTERS: [(&str, &[&str]); 4] = [
    ("compress/flate", &["compress/gzip", "compress/zlib", "net/http", "net/http/internal/http2"]),
    ("regexp/syntax", &["regexp"]),
    ("vendor/golang.org/x/net/dns/dnsmessage", &["net"]),
    ("crypto/x509/pkix", &["crypto/x509"]),
];

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn who_imports_a_package_is_one_that_does() {
    for fixture in fixtures_of("nethttp") {
        let binary = open(&fixture);
        let all: BTreeSet<String> =
            binary.init_tasks().unwrap().into_iter().map(|task| task.package).collect();
        let found = binary.first_importers(&all);
        assert!(found.len() * 3 > all.len(), "{}: {} of {}", fixture.name, found.len(), all.len());
        for (package, importers) in IMPORTERS {
            if let Some(importer) = found.get(package) {
                assert!(importers.contains(&importer.as_str()), "{}: {importer}, {package}", fixture.name);
            }
        }
        assert!(
            IMPORTERS.iter().any(|(package, _)| found.contains_key(*package)),
            "{}: {found:?}",
            fixture.name
        );
        assert!(!found.contains_key("main") && !found.contains_key("runtime"), "{}", fixture.name);
    }
}
