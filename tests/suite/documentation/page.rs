//! Reads the Markdown pages of the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// One Markdown page.
pub(super) struct Page {
    /// Where it is, relative to the root of the repository.
    pub(super) path: PathBuf,
    /// The fragments that a link may name.
    pub(super) anchors: BTreeSet<String>,
    /// The targets of its links.
    pub(super) links: Vec<String>,
    /// The text between single backticks.
    pub(super) spans: Vec<String>,
    /// The fenced code.
    pub(super) blocks: Vec<Block>,
}

/// One fenced block of code.
pub(super) struct Block {
    /// The word after the fence, such as `sh`.
    pub(super) language: String,
    /// The code.
    pub(super) text: String,
}

/// The root of the repository.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The page at `path`, relative to the root of the repository.
pub(super) fn page(path: &str) -> Page {
    Page::parse(path.into(), &fs::read_to_string(root().join(path)).unwrap())
}

/// Pages that are parts of others, and whose links are relative to those.
const TEMPLATES: [&str; 1] = ["crates/settings/src/reference.md"];

/// Every page of the repository, by path.
pub(super) fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    collect(Path::new(""), &mut paths);
    paths.retain(|path| !TEMPLATES.contains(&path.to_str().unwrap()));
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        Page::parse(path, &text)
    };
    paths.into_iter().map(read).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = directory.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

impl Page {
    fn parse(path: PathBuf, text: &str) -> Self {
        let mut prose = String::new();
        let mut blocks: Vec<Block> = Vec::new();
        let mut anchors = Anchors::default();
        let mut is_code = false;
        for line in text.lines() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                is_code = !is_code;
                if is_code {
                    blocks.push(Block {
                        language: language.to_owned(),
                        text: String::new(),
                    });
                }
            } else if is_code {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            } else {
                if line.starts_with('#') {
                    anchors.add(line.trim_start_matches('#').trim());
                }
                prose.push_str(line);
                prose.push('\n');
            }
        }
        assert!(!is_code, "{}: a code block does not end", path.display());
        // Odd pieces are code.
        let pieces: Vec<&str> = prose.split('`').collect();
        let spans = pieces.iter().skip(1).step_by(2);
        let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
        let outside_code: Vec<&str> = pieces.iter().step_by(2).copied().collect();
        Self {
            spans: spans.collect(),
            links: links(&outside_code.join("")),
            anchors: anchors.ids,
            blocks,
            path,
        }
    }

    /// The blocks of shell commands.
    pub(super) fn shell(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.language == "sh")
    }
}

fn links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The fragments of headings, as GitHub makes them.
#[derive(Default)]
struct Anchors {
    ids: BTreeSet<String>,
    counts: BTreeMap<String, usize>,
}

impl Anchors {
    fn add(&mut self, heading: &str) {
        let id: String = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let count = self.counts.entry(id.clone()).or_default();
        let unique = if *count == 0 {
            id
        } else {
            format!("{id}-{count}")
        };
        *count += 1;
        self.ids.insert(unique);
    }
}

#[test]
fn headings_become_fragments_as_on_github() {
    let page = Page::parse(
        "page.md".into(),
        "# The `audit` trail\n\n## What's new?\n\n```sh\n# a comment\n```\n\n## What's new?\n",
    );
    let expected = ["the-audit-trail", "whats-new", "whats-new-1"];
    assert_eq!(page.anchors, expected.map(str::to_owned).into());
    assert_eq!(page.blocks[0].text, "# a comment\n");
}
