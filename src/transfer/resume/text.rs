//! The text of a journal: its head, and what its lines mean. Pure.
//!
//! ```text
//! p2pchat download 1
//! peer JMLQ-…                    whose
//! list 1b2f…                     of what
//! into /home/ana/inbox
//! first photos                   the first name of the list
//! seed 00112233…                 the names of partials come of it from here on
//! folder 0 - photos              folder 0 of the list is about to be made at the top under this name
//! whole 0                        file 0 is whole and about to get its name
//! again 0                        it did not get it, and is taken up or received anew
//! begun 1                        the partial of file 1, a large one, is about to be made
//! failed 1                       file 1 has failed, and its partial is gone
//! nofolder 2                     folder 2 could not be made after all
//! ```
//!
//! A line is written before what it tells of is done, and what follows it proves that it was done; so of a run that was
//! killed only the last line leaves a question ([`Open`]), which a look at the folder answers.

use crate::protocol::frame::Digest;
use crate::transfer::file_name::Name;
use crate::transfer::landing::Seed;
use crate::transfer::manifest::Manifest;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The first line of a journal.
const TITLE: &str = "p2pchat download 1";

/// Whose download of what into which folder it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) peer: &'a str,
    pub(super) into: &'a Path,
    pub(super) first: &'a str,
}

/// A folder that a download entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) struct Made {
    /// The number of the folder that it is in; none at the top.
    pub(in crate::transfer) parent: Option<usize>,
    /// The name that it has on disk.
    pub(in crate::transfer) name: String,
}

/// What the last line leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::transfer) enum Open {
    #[default]
    Nothing,
    /// Whether this folder was made, or is one that was there before.
    Folder(usize),
    /// Whether this file has its name already.
    Name(usize),
    /// Whether the partial of the next file was made.
    Partial,
}

/// What an earlier run of a download did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::transfer) struct Past {
    /// From which the names of partials come.
    pub(in crate::transfer) seed: Seed,
    /// The folders that it entered, by their number in the list.
    pub(in crate::transfer) folders: BTreeMap<usize, Made>,
    /// The number of the file to go on with, if nothing is open.
    pub(in crate::transfer) next: usize,
    /// The files before that which failed.
    pub(in crate::transfer) failed: Vec<usize>,
    /// See there.
    pub(in crate::transfer) open: Open,
}

/// A line of a journal after its head.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'a> {
    Seed(Seed),
    Folder { index: usize, parent: Option<usize>, name: &'a str },
    NoFolder(usize),
    Begun(usize),
    Whole(usize),
    Again(usize),
    Failed(usize),
}

/// The head of a journal; none when a name in it cannot stand in a line.
pub(super) fn head(of: &Head<'_>, digest: &Digest) -> Option<String> {
    let into = of.into.to_str()?;
    if [of.peer, into, of.first].iter().any(|text| text.contains('\n')) {
        return None;
    }
    let mut head = String::new();
    let list = blake3::Hash::from(*digest).to_hex();
    writeln!(head, "{TITLE}\npeer {}\nlist {list}\ninto {into}\nfirst {}", of.peer, of.first).ok()?;
    Some(head)
}

/// Takes a journal apart into its head and the rest.
pub(super) fn parse(text: &str) -> Option<(Head<'_>, &str)> {
    let (title, text) = text.split_once('\n')?;
    let (peer, text) = text.strip_prefix("peer ")?.split_once('\n')?;
    let (_, text) = text.strip_prefix("list ")?.split_once('\n')?;
    let (into, text) = text.strip_prefix("into ")?.split_once('\n')?;
    let (first, text) = text.strip_prefix("first ")?.split_once('\n')?;
    (title == TITLE).then_some((Head { peer, into: Path::new(into), first }, text))
}

impl Line<'_> {
    pub(super) fn text(self) -> String {
        match self {
            Self::Seed(seed) => format!("seed {:032x}\n", u128::from_be_bytes(seed)),
            Self::Folder { index, parent: None, name } => format!("folder {index} - {name}\n"),
            Self::Folder { index, parent: Some(parent), name } => format!("folder {index} {parent} {name}\n"),
            Self::NoFolder(index) => format!("nofolder {index}\n"),
            Self::Begun(index) => format!("begun {index}\n"),
            Self::Whole(index) => format!("whole {index}\n"),
            Self::Again(index) => format!("again {index}\n"),
            Self::Failed(index) => format!("failed {index}\n"),
        }
    }
}

impl Past {
    /// Reads the lines after the head; none when one of them makes no sense. A last line that is cut does not count.
    pub(super) fn read(lines: &str) -> Option<Self> {
        let mut past = Self::default();
        let mut seeded = false;
        for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            seeded |= line.starts_with("seed ");
            past.line(line)?;
        }
        seeded.then_some(past)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        if word == "seed" {
            let is_hex = rest.len() == 2 * size_of::<Seed>() && rest.bytes().all(|b| b.is_ascii_hexdigit());
            self.seed = u128::from_str_radix(rest, 16).ok().filter(|_| is_hex)?.to_be_bytes();
            return Some(());
        }
        let (index, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let index: usize = index.parse().ok()?;
        let after_name = self.open == Open::Name(index);
        self.open = Open::Nothing;
        match word {
            "folder" => {
                let (parent, name) = rest.split_once(' ')?;
                let parent = if parent == "-" { None } else { Some(parent.parse().ok()?) };
                // A parent comes before its children in the list, so that no chain of parents is a ring.
                let parent_is_there = parent.is_none_or(|parent| parent < index && self.folders.contains_key(&parent));
                let name = Name::new(name).ok().filter(|_| parent_is_there)?.as_str().to_owned();
                self.folders.insert(index, Made { parent, name });
                self.open = Open::Folder(index);
            }
            "nofolder" => drop(self.folders.remove(&index)?),
            "begun" if index == self.next => self.open = Open::Partial,
            "whole" if index == self.next => {
                self.next += 1;
                self.open = Open::Name(index);
            }
            "again" if after_name => self.next = index,
            "failed" if after_name => self.failed.push(index),
            "failed" if index == self.next => {
                self.failed.push(index);
                self.next += 1;
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether a download of this list can have come so far.
    pub(super) fn fits(&self, list: &Manifest) -> bool {
        let is_listed =
            |(&index, made): (&usize, &Made)| list.folder(index).is_some_and(|folder| folder.parent == made.parent);
        self.next <= list.file_count() && self.folders.iter().all(is_listed)
    }

    /// The names from the top down to a folder.
    pub(super) fn chain(&self, folder: usize) -> Vec<&str> {
        let mut names = Vec::new();
        let mut above = Some(folder);
        while let Some(made) = above.and_then(|index| self.folders.get(&index)) {
            names.push(made.name.as_str());
            above = made.parent;
        }
        names.reverse();
        names
    }

    /// The numbers of the files of which a partial may be there.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = usize> {
        let unnamed = if let Open::Name(index) = self.open { Some(index) } else { None };
        unnamed.into_iter().chain([self.next])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "seed 000102030405060708090a0b0c0d0e0f\n";

    fn read(lines: &str) -> Option<Past> {
        Past::read(&format!("{SEED}{lines}"))
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_names_that_break_lines_have_none() {
        let into = Path::new("/home/a b/in box");
        let of = Head { peer: "JMLQ", into, first: "a name.txt" };
        let text = head(&of, &[3; 32]).unwrap() + SEED;
        assert_eq!(parse(&text), Some((of, SEED)));
        assert!(head(&Head { peer: "JMLQ", into: Path::new("/a\nb"), first: "x" }, &[3; 32]).is_none());
        assert_eq!(parse(&text.replace("download 1", "download 2")), None);
        assert_eq!(parse("p2pchat download 1\npeer"), None);
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let seed = [7; 16];
        let lines = [
            Line::Seed(seed),
            Line::Folder { index: 0, parent: None, name: "t" },
            Line::Folder { index: 1, parent: Some(0), name: "t" },
            Line::Folder { index: 1, parent: Some(0), name: "t (1)" },
            Line::Whole(0),
            Line::Failed(0),
            Line::Failed(1),
            Line::Folder { index: 2, parent: None, name: "no" },
            Line::NoFolder(2),
            Line::Whole(2),
            Line::Again(2),
            Line::Whole(2),
            Line::Begun(3),
        ];
        let text: String = lines.into_iter().map(Line::text).collect();
        let past = Past::read(&text).unwrap();
        let made = |parent, name: &str| Made { parent, name: name.to_owned() };
        let folders = BTreeMap::from([(0, made(None, "t")), (1, made(Some(0), "t (1)"))]);
        assert_eq!(past, Past { seed, folders, next: 3, failed: vec![0, 1], open: Open::Partial });
        assert_eq!(past.chain(1), ["t", "t (1)"]);
    }

    #[test]
    fn the_last_line_alone_leaves_a_question() {
        let open = |lines| read(lines).unwrap().open;
        assert_eq!(open(""), Open::Nothing);
        assert_eq!(open("whole 0\n"), Open::Name(0));
        assert_eq!(open("folder 4 - t\n"), Open::Folder(4));
        assert_eq!(open("folder 4 - t\nwhole 0\nfailed 1\n"), Open::Nothing);
        assert_eq!(open("whole 0\nbegun 1\n"), Open::Partial);
        assert_eq!(open("whole 0\nwhole 1\nbeg"), Open::Name(1));
        assert_eq!(read("whole 0\n").unwrap().unfinished().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        let nonsense = [
            "rubbish\n",
            "whole 1\n",
            "whole\n",
            "whole -1\n",
            "failed 7\n",
            "whole 0\nfailed 0\nfailed 0\n",
            "begun 1\n",
            "whole 0\nwhole 0\n",
            "whole 0\nagain 0\nagain 0\n",
            "nofolder 0\n",
            "folder 0 - ../x\n",
            "folder 0 - \n",
            "folder 0 0 ring\n",
            "folder 3 2 orphan\n",
            "seed 12\n",
            "seed zz0102030405060708090a0b0c0d0e0f\n",
            "seed +0102030405060708090a0b0c0d0e0f0\n",
        ];
        for lines in nonsense {
            assert_eq!(read(lines), None, "{lines:?}");
        }
        assert_eq!(Past::read("whole 0\n"), None, "no seed");
    }
}
