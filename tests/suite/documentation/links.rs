use super::page::{Page, page, pages, root};

/// Folders whose files the documentation names by their path from the root.
const FOLDERS: [&str; 10] = [
    ".cargo/",
    ".ci/",
    "bins/",
    "config/",
    "crates/",
    "docker/",
    "docs/",
    "examples/",
    "migrations/",
    "tests/",
];

fn is_dead(page: &Page, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return false;
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let directory = page.path.parent().unwrap();
    let target = if path.is_empty() {
        page.path.clone()
    } else {
        directory.join(path)
    };
    let Ok(target) = root().join(target).canonicalize() else {
        return true;
    };
    let is_page = target
        .extension()
        .is_some_and(|extension| extension == "md");
    if fragment.is_empty() || !is_page {
        return !fragment.is_empty();
    }
    let target = target.strip_prefix(root().canonicalize().unwrap()).unwrap();
    !self::page(target.to_str().unwrap())
        .anchors
        .contains(fragment)
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        for link in &page.links {
            if is_dead(&page, link) {
                dead.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn every_path_of_a_file_exists() {
    let mut missing = Vec::new();
    for page in pages() {
        for span in &page.spans {
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder));
            let is_pattern = span.contains(['*', '{', '<', ' ', '…']);
            if is_path && !is_pattern && !root().join(span).exists() {
                missing.push(format!("{}: {span}", page.path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "missing files: {missing:#?}");
}

#[test]
fn the_readme_is_short_and_lists_every_page_of_docs() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.len() <= 8 * 1024, "README.md has {} bytes", text.len());
    let readme = page("README.md");
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let listed = |link: &String| link.starts_with(&format!("docs/{name}"));
        assert!(
            readme.links.iter().any(listed),
            "README.md omits docs/{name}"
        );
    }
}
