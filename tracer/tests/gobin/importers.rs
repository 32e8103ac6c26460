//! Who imports a package, as the code proves it, against what the sources of the programs and of Go say.

use std::collections::BTreeSet;

use crate::fixtures::open;
use crate::support::fixtures_of;

/// Packages of every version of the program, with all that import them in it.
const IMPORTERS: [(&str, &[&str]); 4] = [
    ("net/http", &["main"]),
    ("text/template", &["html/template"]),
    ("image/png", &["main"]),
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
        assert!(IMPORTERS.iter().any(|(package, _)| found.contains_key(*package)), "{}", fixture.name);
        assert!(!found.contains_key("main") && !found.contains_key("runtime"), "{}", fixture.name);
    }
}
