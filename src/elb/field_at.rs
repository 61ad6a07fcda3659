//! Where in a line a field stands that configuration names: by AWS's name or by the name of one of its parts.

use super::format::Field;
use super::format::Format;
use super::format::Shape;

/// A field of the lines of one kind, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldAt {
    /// Its place in the line.
    pub place: u8,
    /// The part of it that is meant.
    pub part: Part,
}

/// A part of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// The address of `ip:port`.
    Ip,
    /// The port of `ip:port`.
    Port,
    /// The method of a request line.
    Verb,
    /// The URL of a request line.
    Url,
    /// The path of the URL of a request line.
    Path,
    /// The protocol of a request line.
    Proto,
}

/// The name of the path of a request's URL, which no schema has as a member.
const PATH: &str = "request_path";

impl Format {
    /// The field of this name, if lines of the kind have one.
    pub fn find(&self, name: &str) -> Option<FieldAt> {
        self.fields.iter().zip(0..).find_map(|(field, place)| part(field, name).map(|part| FieldAt { place, part }))
    }

    /// Every name that [`find`](Self::find) knows.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let members = self.fields.iter().flat_map(|field| field.members());
        let joined = self.fields.iter().filter(|field| matches!(field.shape, Shape::Endpoint { .. })).map(Field::name);
        members.chain(joined).chain(self.request.map(|_| PATH))
    }
}

fn part(field: &Field, name: &str) -> Option<Part> {
    if field.name() == name {
        return Some(Part::Whole);
    }
    if name == PATH && matches!(field.shape, Shape::Request { .. }) {
        return Some(Part::Path);
    }
    let parts = match &field.shape {
        Shape::Endpoint { ip, port } => [Some((ip, Part::Ip)), Some((port, Part::Port)), None],
        Shape::Request { verb, url, proto } => [Some((verb, Part::Verb)), Some((url, Part::Url)), Some((proto, Part::Proto))],
        _ => [None; 3],
    };
    parts.into_iter().flatten().find(|(key, _)| key.name() == name).map(|(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::super::format::Kind;
    use super::*;

    #[track_caller]
    fn check(kind: Kind, name: &str, want: Option<(u8, Part)>) {
        assert_eq!(kind.format().find(name), want.map(|(place, part)| FieldAt { place, part }), "{name}");
    }

    #[test]
    fn fields_are_found_by_both_their_names() {
        check(Kind::Alb, "client_ip", Some((3, Part::Ip)));
        check(Kind::Classic, "client_ip", Some((2, Part::Ip)));
        check(Kind::AlbConnection, "client_ip", Some((1, Part::Whole)));
        check(Kind::Alb, "client:port", Some((3, Part::Whole)));
        check(Kind::Alb, "request_url", Some((12, Part::Url)));
        check(Kind::Alb, "request_path", Some((12, Part::Path)));
        check(Kind::Nlb, "request_path", None);
        check(Kind::Alb, "request", Some((12, Part::Whole)));
        check(Kind::Nlb, "request_url", None);
        check(Kind::Alb, "request_proto", Some((12, Part::Proto)));
        for name in ["", "backend_ip", "client", "Type"] {
            check(Kind::Alb, name, None);
        }
    }

    #[test]
    fn every_name_is_found() {
        for kind in Kind::ALL {
            for name in kind.format().names() {
                assert!(kind.format().find(name).is_some(), "{name}");
            }
        }
    }
}
