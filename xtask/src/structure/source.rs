//! Reads the modules of a library crate: paths that stay in the crate, functions, and test code left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One file of a crate.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the folder `src`.
    pub(crate) file: PathBuf,
    /// The module that the file is: empty for `lib.rs`.
    pub(crate) module: Vec<String>,
    pub(crate) lines: usize,
    pub(crate) content: Content,
}

/// What the checks need to know of a file or of one inline module.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) mentions: Vec<Mention>,
    pub(crate) functions: Vec<Function>,
    /// Names of macros that are exported at the root of the crate.
    pub(crate) macros: Vec<String>,
    /// Modules declared without a body, with the inline modules around them.
    children: Vec<Vec<String>>,
}

/// A path that starts at `crate`, `self` or `super`, or a path of a `use` declaration.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The module in which it stands.
    pub(crate) module: Vec<String>,
    pub(crate) path: Vec<String>,
    /// The name that a `use` declaration gives it.
    pub(crate) alias: Option<String>,
    /// Whether it is re-exported.
    pub(crate) public: bool,
    pub(crate) line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// From its signature to its closing brace.
    pub(crate) lines: usize,
}

/// Reads `lib.rs` in this folder and all files that it declares, test modules left out.
pub(crate) fn read(src: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut open = vec![(PathBuf::from("lib.rs"), Vec::new())];
    while let Some((file, module)) = open.pop() {
        let path = src.join(&file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let source = Source::parse(file, module, &text).with_context(|| format!("cannot read {}", path.display()))?;
        for child in &source.content.children {
            let below = child.iter().collect::<PathBuf>();
            let candidates = [below.with_extension("rs"), below.join("mod.rs")];
            let found = candidates
                .into_iter()
                .find(|file| src.join(file).is_file())
                .with_context(|| format!("no file for module {}", child.join("::")))?;
            open.push((found, child.clone()));
        }
        sources.push(source);
    }
    sources.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(sources)
}

impl Source {
    /// Reads the text of one file, which is this module.
    pub(crate) fn parse(file: impl Into<PathBuf>, module: Vec<String>, text: &str) -> Result<Self> {
        let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
        let mut scan = Scan {
            module,
            content: Content::default(),
        };
        scan.stream(tokens)?;
        Ok(Self {
            file: file.into(),
            module: scan.module,
            lines: text.lines().count(),
            content: scan.content,
        })
    }
}

struct Scan {
    module: Vec<String>,
    content: Content,
}

impl Scan {
    fn stream(&mut self, tokens: TokenStream) -> Result<()> {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(&tokens, at)?;
        }
        Ok(())
    }

    /// Reads what starts at this token; returns where the next thing starts.
    fn step(&mut self, tokens: &[TokenTree], at: usize) -> Result<usize> {
        if let Some(attribute) = attribute(tokens, at) {
            if is_test(&attribute) {
                return Ok(after_item(tokens, at));
            }
            if word(attribute.first()).as_deref() == Some("path") {
                bail!("a module with #[path] is not supported");
            }
            if word(attribute.first()).as_deref() == Some("macro_export") {
                self.content.macros.extend(macro_name(tokens, at));
            }
            self.stream(attribute.into_iter().collect())?;
            return Ok(at + 2);
        }
        match &tokens[at] {
            TokenTree::Group(group) => {
                self.stream(group.stream())?;
                Ok(at + 1)
            }
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "mod" => self.module(tokens, at),
                "fn" => {
                    self.function(tokens, at);
                    Ok(at + 1)
                }
                "use" if !is_punct(tokens.get(at + 1), '<') => {
                    let start = if is_path_separator(tokens, at + 1) {
                        at + 3
                    } else {
                        at + 1
                    };
                    let before = self.content.mentions.len();
                    let end = self.path(tokens, start, &[]);
                    let public = is_public(tokens, at);
                    for mention in &mut self.content.mentions[before..] {
                        mention.public = public;
                        let last = mention.path.last().cloned();
                        mention.alias = mention.alias.take().or(last);
                    }
                    Ok(end)
                }
                "crate" | "self" | "super" if is_path_separator(tokens, at + 1) => Ok(self.path(tokens, at, &[])),
                _ => Ok(at + 1),
            },
            _ => Ok(at + 1),
        }
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize) -> Result<usize> {
        let Some(name) = word(tokens.get(at + 1)) else {
            return Ok(at + 1);
        };
        match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                self.module.push(name);
                self.stream(body.stream())?;
                self.module.pop();
                Ok(at + 3)
            }
            end if is_punct(end, ';') => {
                let mut child = self.module.clone();
                child.push(name);
                self.content.children.push(child);
                Ok(at + 3)
            }
            _ => Ok(at + 1),
        }
    }

    fn function(&mut self, tokens: &[TokenTree], at: usize) {
        let Some(name) = word(tokens.get(at + 1)) else {
            return;
        };
        for token in &tokens[at + 2..] {
            match token {
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                    let lines = body.span_close().end().line - tokens[at].span().start().line + 1;
                    self.content.functions.push(Function { name, lines });
                    return;
                }
                end if is_punct(Some(end), ';') => return,
                _ => {}
            }
        }
    }

    /// Reads a path, or a tree of paths as in a `use` declaration; returns where it ends.
    fn path(&mut self, tokens: &[TokenTree], start: usize, prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        let mut at = start;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.branches(group, &path);
                    return at + 1;
                }
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => path.push("*".to_owned()),
                _ => return at,
            }
            at += 1;
            if !is_path_separator(tokens, at) {
                break;
            }
            at += 2;
        }
        let mut alias = None;
        if word(tokens.get(at)).as_deref() == Some("as") {
            alias = word(tokens.get(at + 1));
        }
        self.content.mentions.push(Mention {
            module: self.module.clone(),
            path,
            alias,
            public: false,
            line: tokens[start].span().start().line,
        });
        at
    }

    fn branches(&mut self, group: &Group, prefix: &[String]) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        for branch in tokens.split(|token| is_punct(Some(token), ',')) {
            if word(branch.first()).as_deref() == Some("self") && !prefix.is_empty() {
                self.content.mentions.push(Mention {
                    module: self.module.clone(),
                    path: prefix.to_vec(),
                    alias: word(branch.get(2)),
                    public: false,
                    line: branch[0].span().start().line,
                });
            } else {
                self.path(branch, 0, prefix);
            }
        }
    }
}

/// The tokens of the attribute that starts here.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    match (tokens.get(at), tokens.get(at + 1)) {
        (hash, Some(TokenTree::Group(group))) if is_punct(hash, '#') && group.delimiter() == Delimiter::Bracket => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

/// Whether this attribute keeps code for tests alone: `cfg(test)` or `cfg(all(test, …))`.
fn is_test(attribute: &[TokenTree]) -> bool {
    fn implies_test(condition: &[TokenTree]) -> bool {
        match condition {
            [TokenTree::Ident(name)] => name == "test",
            [TokenTree::Ident(name), TokenTree::Group(group)] if name == "all" => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                inner.split(|token| is_punct(Some(token), ',')).any(implies_test)
            }
            _ => false,
        }
    }
    match attribute {
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "cfg" => {
            implies_test(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => false,
    }
}

/// Where the item ends whose attributes start here.
fn after_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while attribute(tokens, at).is_some() {
        at += 2;
    }
    let mut to_semicolon = false;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(ident) if ident == "use" || ident == "static" || ident == "let" || ident == "type" => {
                to_semicolon = true;
            }
            TokenTree::Ident(ident) if ident == "const" && word(tokens.get(at + 1)).as_deref() != Some("fn") => {
                to_semicolon = true;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !to_semicolon => return at + 1,
            end if is_punct(Some(end), ';') => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn macro_name(tokens: &[TokenTree], at: usize) -> Option<String> {
    let at = (at..tokens.len()).find(|&at| word(tokens.get(at)).as_deref() == Some("macro_rules"))?;
    word(tokens.get(at + 2))
}

/// Whether `pub`, without a restriction, stands before this token.
fn is_public(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && word(tokens.get(at - 1)).as_deref() == Some("pub")
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_punct(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}
