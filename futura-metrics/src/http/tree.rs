//! Finds the route of a path among templates whose parameters are whole segments, as those of axum nearly always are.
//!
//! It answers as `matchit`, axum's router, does, and without taking the parameters down, which nobody here asks for.

/// One place in the tree: what may come after the segments that lead to it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The next segments that stand in a template, sorted.
    fixed: Vec<(Box<[u8]>, Tree)>,
    /// After any one segment: `{name}`.
    any: Option<Box<Tree>>,
    /// The route that takes all that follows, if there is anything: `{*name}`.
    rest: Option<usize>,
    /// The route that ends here.
    end: Option<usize>,
}

// === impl Tree ===

impl Tree {
    /// Adds a template; `false` where a parameter is less than a segment, or a brace is escaped.
    pub(super) fn insert(&mut self, template: &str, route: usize) -> bool {
        let Some(path) = template.strip_prefix('/') else { return false };
        let mut place = self;
        for segment in path.split('/') {
            let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
            match name {
                _ if name.unwrap_or(segment).contains(['{', '}']) => return false,
                Some(name) if name.starts_with('*') => {
                    place.rest = Some(route);
                    return true;
                }
                Some(_) => place = place.any.get_or_insert_default(),
                None => place = place.fixed(segment.as_bytes()),
            }
        }
        place.end = Some(route);
        true
    }

    /// The route of a path: a fixed segment goes before any, and any before all the rest.
    #[inline]
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        match path.as_bytes() {
            [b'/', path @ ..] => self.find_after_slash(path),
            _ => None,
        }
    }

    fn find_after_slash(&self, path: &[u8]) -> Option<usize> {
        let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
        let (segment, tail) = (&path[..end], path.get(end + 1..));
        let fixed = self.fixed.binary_search_by(|(name, _)| (**name).cmp(segment));
        let found = fixed.ok().and_then(|position| self.fixed[position].1.find_tail(tail));
        // Only at the end of a path an empty segment is none.
        let is_segment = tail.is_some() || !segment.is_empty();
        let found = found.or_else(|| self.any.as_ref().filter(|_| is_segment)?.find_tail(tail));
        found.or_else(|| self.rest.filter(|_| !path.is_empty()))
    }

    fn find_tail(&self, tail: Option<&[u8]>) -> Option<usize> {
        match tail {
            Some(tail) => self.find_after_slash(tail),
            None => self.end,
        }
    }

    fn fixed(&mut self, segment: &[u8]) -> &mut Self {
        let position = self.fixed.binary_search_by(|(name, _)| (**name).cmp(segment)).unwrap_or_else(|position| {
            self.fixed.insert(position, (segment.into(), Self::default()));
            position
        });
        &mut self.fixed[position].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::Strategy, prop_assert_eq, proptest, sample::select};

    use super::Tree;

    fn path() -> impl Strategy<Value = String> {
        let segment = select(vec!["", "a", "ab", "b", "c", "x"]);
        vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn template() -> impl Strategy<Value = String> {
        let segment = select(vec!["a", "ab", "b", "", "{p}", "{p}", "{*r}"]);
        vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn it_finds_what_axums_router_finds(templates in vec(template(), 0..12), paths in vec(path(), 1..40)) {
            let (mut tree, mut router) = (Tree::default(), matchit::Router::new());
            for (number, template) in templates.iter().enumerate() {
                // Those that the router refuses are not asked for.
                if router.insert(template, number).is_ok() {
                    assert!(tree.insert(template, number), "{template}");
                }
            }
            for path in paths {
                let expected = router.at(&path).ok().map(|found| *found.value);
                prop_assert_eq!(tree.find(&path), expected, "{} in {:?}", path, templates);
            }
        }
    }

    #[test]
    fn what_is_less_than_a_segment_is_left_to_axums_router() {
        for template in ["/a{b}", "/{a}.json", "/{{a}}", "/{a}{b}", "a", ""] {
            assert!(!Tree::default().insert(template, 0), "{template}");
        }
    }
}
