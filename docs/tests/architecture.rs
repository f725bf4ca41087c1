//! The structure is what `docs/ARCHITECTURE.md` says it is: imports point one way, the scheduler
//! knows no descriptors and no channels, files stay readable, and documents name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Which packages of the workspace each one may depend on.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("marmot-scheduler", &[]),
    ("marmot-channel", &["marmot-scheduler"]),
    ("marmot-netpoll", &["marmot-scheduler"]),
    (
        "marmot",
        &["marmot-channel", "marmot-netpoll", "marmot-scheduler"],
    ),
    ("marmot-examples", &["marmot"]),
    ("marmot-benches", &["marmot", "marmot-load", "marmot-peer"]),
    // It judges servers of any kind, so it uses nothing of ours.
    ("marmot-load", &[]),
    ("marmot-peer", &[]),
    ("marmot-peer-marmot", &["marmot", "marmot-peer"]),
    ("marmot-peer-may", &["marmot-peer"]),
    ("marmot-peer-tokio", &["marmot-peer"]),
    ("marmot-docs", &["marmot"]),
];

/// The most lines that a source file may have, without its unit tests.
const LINES: usize = 800;

/// What the scheduler's code must not name.
const FOREIGN: [&str; 11] = [
    "marmot_channel",
    "marmot_netpoll",
    "mio",
    "AsFd",
    "AsRawFd",
    "BorrowedFd",
    "IntoRawFd",
    "OwnedFd",
    "RawFd",
    "TcpStream",
    "mpsc",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("a member lies in the workspace")
        .to_owned()
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse()
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The members' folders.
fn members() -> Vec<PathBuf> {
    let members = manifest(&root())["workspace"]["members"].clone();
    let members = members.as_array().expect("members are a list").clone();
    members
        .iter()
        .map(|m| root().join(m.as_str().unwrap()))
        .collect()
}

/// The names of all packages that a manifest depends on: for the library, its tests and its build,
/// on every target, by their real names.
fn dependencies(manifest: &Table, renames: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in manifest {
        let Value::Table(table) = value else { continue };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                for (name, entry) in table {
                    let inherited = entry.get("workspace").and(renames.get(name));
                    let package = entry.get("package");
                    let package = package.or(inherited.and_then(|entry| entry.get("package")));
                    found.insert(package.and_then(Value::as_str).unwrap_or(name).to_owned());
                }
            }
            // Each target's table is shaped like a manifest.
            "target" => {
                for target in table.values().filter_map(Value::as_table) {
                    found.extend(dependencies(target, renames));
                }
            }
            _ => {}
        }
    }
    found
}

/// The edges between the workspace's packages that are not allowed.
fn forbidden(packages: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (package, dependencies) in packages {
        let allowed = ALLOWED.iter().find(|(name, _)| name == package);
        let Some((_, allowed)) = allowed else {
            wrong.push(format!("{package} has no place in the architecture"));
            continue;
        };
        for dependency in dependencies {
            if packages.contains_key(dependency) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{package} -> {dependency}"));
            }
        }
    }
    wrong
}

#[test]
fn imports_point_one_way() {
    let workspace = manifest(&root());
    let renames = workspace["workspace"]["dependencies"].as_table().unwrap();
    let packages: BTreeMap<_, _> = members()
        .iter()
        .map(|folder| {
            let manifest = manifest(folder);
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            (name, dependencies(&manifest, renames))
        })
        .collect();
    assert_eq!(packages.len(), ALLOWED.len());
    assert_eq!(forbidden(&packages), [""; 0]);
}

#[test]
fn an_upward_edge_would_be_found() {
    let manifests = [
        (
            "marmot-scheduler",
            "[dev-dependencies]\nmarmot-channel.workspace = true",
        ),
        (
            "marmot-channel",
            "[target.'cfg(unix)'.dependencies]\npoll = { workspace = true }",
        ),
        (
            "marmot-netpoll",
            "[dependencies]\nm = { path = \"../runtime\", package = \"marmot\" }",
        ),
        (
            "marmot",
            "[dependencies]\nmarmot-scheduler.workspace = true\nlibc = \"0.2\"",
        ),
    ];
    let renames: Table = "poll = { path = \"netpoll\", package = \"marmot-netpoll\" }"
        .parse()
        .unwrap();
    let packages = manifests.map(|(name, text)| {
        (
            name.to_owned(),
            dependencies(&text.parse().unwrap(), &renames),
        )
    });
    assert_eq!(
        forbidden(&packages.into()),
        [
            "marmot-channel -> marmot-netpoll",
            "marmot-netpoll -> marmot",
            "marmot-scheduler -> marmot-channel",
        ]
    );
}

/// All files below `folder` whose name ends with `.extension`.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for member in members() {
        files(&member, "rs", &mut found);
    }
    assert!(found.len() > 50, "{} files found", found.len());
    found
}

/// A source without its unit tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|path| {
            without_tests(&fs::read_to_string(path).unwrap())
                .lines()
                .count()
                > LINES
        })
        .collect();
    assert_eq!(
        long,
        [""; 0].map(PathBuf::from),
        "longer than {LINES} lines"
    );
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .collect();
    assert_eq!(
        silent,
        [""; 0].map(PathBuf::from),
        "without a `//!` line at the top"
    );
}

/// The words of a source that are not in line comments.
fn words(text: &str) -> BTreeSet<&str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap())
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect()
}

#[test]
fn the_scheduler_names_no_descriptor_and_no_channel() {
    let mut found = Vec::new();
    files(&root().join("scheduler/src"), "rs", &mut found);
    assert!(found.len() > 10, "{} files found", found.len());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let named = words(without_tests(&text));
        let foreign: Vec<_> = FOREIGN
            .iter()
            .filter(|word| named.contains(**word))
            .collect();
        assert!(foreign.is_empty(), "{} names {foreign:?}", path.display());
    }
}

#[test]
fn documents_name_what_exists() {
    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    files(&root().join("docs"), "md", &mut documents);
    let mut missing = Vec::new();
    let mut seen = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        // In odd pieces between backticks, what looks like a path into a member or to a file.
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = !name.contains(char::is_whitespace)
                && !name.contains(['*', '<', '{', '(', '['])
                && !name.starts_with('/')
                // In every package.
                && !name.starts_with("tests/")
                && name.contains('/')
                && (name.ends_with('/') || name.ends_with(".rs") || name.ends_with(".md"));
            if is_path {
                seen += 1;
                if !root().join(name).exists() {
                    missing.push(format!("{}: {name}", document.display()));
                }
            }
        }
    }
    assert!(seen > 20, "{seen} paths found");
    assert_eq!(missing, [""; 0]);
}
