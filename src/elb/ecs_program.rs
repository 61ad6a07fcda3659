//! The members of an `ecs` document in the order in which they are written, made from a format's table once per source.
//!
//! The schema is nested and the line is flat: members of one object stand at places far apart. So the objects are put
//! together beforehand, and writing a line is one walk through a list of steps. Nothing here looks at a line.

use serde_json::Value;

use super::format::Form;
use super::format::Format;
use super::format::When;
use crate::json::writer::Key;
use crate::json::writer::SLACK;

/// Version of the Elastic Common Schema the documents follow.
const ECS_VERSION: &str = "8.11.0";

/// How deep objects stand in one another at the most: `aws.elb.backend.http.response`.
pub(super) const DEPTH_MAX: usize = 8;

/// What is written next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An object begins.
    Open(Key),
    /// It ends; one without members leaves no trace.
    Close,
    /// Members that are the same in every document.
    Constant {
        /// The members, and room behind them for a writer that copies in steps.
        text: Box<[u8]>,
        /// How much of it counts.
        len: usize,
    },
    /// A field of the line.
    Member {
        /// Its name.
        key: Key,
        /// Where it stands in the line.
        place: usize,
        /// What becomes of it.
        form: Form,
        /// Objects that have no other member and end behind it; `key` opens them.
        closes: u8,
    },
    /// A field of the line, and what stands in for it where the line has none.
    MemberOr {
        /// Its name.
        key: Key,
        /// Where it stands in the line.
        place: usize,
        /// What becomes of it.
        form: Form,
        /// The whole member otherwise.
        otherwise: Box<[u8]>,
    },
    /// What the relay adds itself.
    Own(Own),
}

/// Members that come from neither the line's fields nor the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The event's id.
    Id,
    /// The line as it came.
    Original,
    /// Tokens AWS has not told us about.
    UnknownFields,
    /// What enrichment knows of the client's address.
    Client,
    /// What enrichment knows of the user agent.
    UserAgent,
}

/// What a document of one kind has beside the fields of its line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Additions<'a> {
    /// Static fields; objects among them join the document's own.
    pub(super) fields: &'a [(String, Value)],
    /// Whether the line is kept as it came.
    pub(super) original: bool,
    /// Whether enrichment may add to what is known of client and user agent.
    pub(super) enriched: bool,
}

/// The steps for lines of one kind, with or without an HTTP status, and the bytes of everything constant in them.
pub(super) fn steps(format: &Format, http: bool, additions: &Additions<'_>) -> (Vec<Step>, usize) {
    let mut root = Node::default();
    root.own("event.id", Own::Id);
    root.constant("event.kind", &Value::from("event"));
    root.constant("event.category", &Value::from(vec![if http { "web" } else { "network" }]));
    root.constant("ecs.version", &Value::from(ECS_VERSION));
    root.constant("cloud.provider", &Value::from("aws"));
    let wanted = if http { When::Http } else { When::Tcp };
    for (place, field) in format.fields.iter().enumerate() {
        for target in field.ecs.iter().filter(|target| target.when == When::Always || target.when == wanted) {
            root.leaf(target.path, Leaf::Field { place, form: target.form, otherwise: None });
        }
    }
    root.constant("aws.elb.protocol", &Value::from(if http { "http" } else { "tcp" }));
    root.own("aws.elb.unknown_fields", Own::UnknownFields);
    if additions.enriched {
        root.own(if root.has("source") { "source.geo" } else { "client.geo" }, Own::Client);
        root.own("user_agent.name", Own::UserAgent);
    }
    if additions.original {
        root.own("event.original", Own::Original);
    }
    for (name, value) in additions.fields.iter().filter(|(name, _)| joins(name)) {
        root.add(name, value);
    }
    let mut steps = Vec::new();
    root.write(&mut steps);
    let bytes = steps.iter().map(constant_bytes).sum();
    (steps, bytes)
}

/// Whether a static field is written inside one of the document's objects, or left out because it would replace one.
pub(super) fn joins(name: &str) -> bool {
    const OBJECTS: [&str; 12] =
        ["event", "ecs", "cloud", "source", "client", "destination", "http", "url", "user_agent", "tls", "trace", "aws"];
    OBJECTS.contains(&name)
}

/// Most bytes a step writes that are not the line's.
fn constant_bytes(step: &Step) -> usize {
    // A name with its comma, colon and quotes; the longest value of fixed length is a time.
    const MEMBER: usize = 40;
    match step {
        Step::Open(key) => key.name().len() + 5,
        Step::Close => 1,
        Step::Constant { len, .. } => *len,
        Step::Member { key, .. } => key.name().len() + MEMBER,
        Step::MemberOr { key, otherwise, .. } => (key.name().len() + MEMBER).max(otherwise.len()),
        Step::Own(_) => 64,
    }
}

/// An object on its way to becoming steps.
#[derive(Default)]
struct Node {
    children: Vec<(String, Child)>,
}

enum Child {
    Object(Node),
    Leaf(Leaf),
}

enum Leaf {
    Field { place: usize, form: Form, otherwise: Option<Value> },
    Constant(Value),
    Own(Own),
}

impl Node {
    fn has(&self, name: &str) -> bool {
        self.children.iter().any(|(child, _)| child == name)
    }

    fn constant(&mut self, path: &str, value: &Value) {
        self.leaf(path, Leaf::Constant(value.clone()));
    }

    fn own(&mut self, path: &str, own: Own) {
        self.leaf(path, Leaf::Own(own));
    }

    fn leaf(&mut self, path: &str, leaf: Leaf) {
        match path.split_once('.') {
            None => self.children.push((path.to_owned(), Child::Leaf(leaf))),
            Some((name, rest)) => {
                let at = self.children.iter().position(|(child, _)| child == name).unwrap_or_else(|| {
                    self.children.push((name.to_owned(), Child::Object(Self::default())));
                    self.children.len() - 1
                });
                match &mut self.children[at].1 {
                    Child::Object(node) => node.leaf(rest, leaf),
                    Child::Leaf(_) => unreachable!("a table names {path} both as an object and as a value"),
                }
            }
        }
    }

    /// Adds a static field where the document has no value of its own.
    fn add(&mut self, name: &str, value: &Value) {
        match self.children.iter_mut().find(|(child, _)| child == name) {
            None => self.children.push((name.to_owned(), Child::Leaf(Leaf::Constant(value.clone())))),
            Some((_, Child::Leaf(Leaf::Field { otherwise, .. }))) => *otherwise = Some(value.clone()),
            Some((_, Child::Leaf(Leaf::Constant(_) | Leaf::Own(_)))) => {}
            Some((_, Child::Object(node))) => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    node.add(name, value);
                }
            }
        }
    }

    fn write(self, steps: &mut Vec<Step>) {
        for (name, child) in self.children {
            match child {
                Child::Object(node) => {
                    let mut inner = Vec::new();
                    node.write(&mut inner);
                    push_object(steps, &name, inner);
                }
                Child::Leaf(Leaf::Own(own)) => steps.push(Step::Own(own)),
                Child::Leaf(Leaf::Constant(value)) => push_constant(steps, member(&name, &value)),
                Child::Leaf(Leaf::Field { place, form, otherwise: None }) => {
                    steps.push(Step::Member { key: Key::new(&name), place, form, closes: 0 });
                }
                Child::Leaf(Leaf::Field { place, form, otherwise: Some(value) }) => {
                    let otherwise = member(&name, &value).into_boxed_slice();
                    steps.push(Step::MemberOr { key: Key::new(&name), place, form, otherwise });
                }
            }
        }
    }
}

/// An object that is always the same is a constant, and one of a single field needs no steps of its own.
fn push_object(steps: &mut Vec<Step>, name: &str, inner: Vec<Step>) {
    match inner.as_slice() {
        [Step::Constant { text, len }] => {
            let members = String::from_utf8_lossy(&text[1..*len]);
            push_constant(steps, format!(",{}:{{{members}}}", Value::from(name)).into_bytes());
            return;
        }
        [Step::Member { key, place, form, closes }] if *form != Form::Url => {
            if let Some(key) = Key::object_of(name, key) {
                steps.push(Step::Member { key, place: *place, form: *form, closes: closes + 1 });
                return;
            }
        }
        _ => {}
    }
    steps.push(Step::Open(Key::new(name)));
    steps.extend(inner);
    steps.push(Step::Close);
}

/// Constants that follow one another are one step.
fn push_constant(steps: &mut Vec<Step>, text: Vec<u8>) {
    let mut all = match steps.pop_if(|step| matches!(step, Step::Constant { .. })) {
        Some(Step::Constant { text, len }) => text[..len].to_vec(),
        _ => Vec::new(),
    };
    all.extend_from_slice(&text);
    let len = all.len();
    all.resize(len + SLACK, b' ');
    steps.push(Step::Constant { text: all.into_boxed_slice(), len });
}

fn member(name: &str, value: &Value) -> Vec<u8> {
    format!(",{}:{value}", Value::from(name)).into_bytes()
}
