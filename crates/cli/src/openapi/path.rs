//! Paths with parameters: where their values come from.

use super::Resource;
use super::document::Parameter;
use millrace_model::definition::FieldPath;

/// The resource whose records name what another one is asked for.
pub struct Parent {
    /// Its name.
    pub name: String,
    /// The parameters of the path that its records fill.
    pub links: Vec<Link>,
}

/// A parameter of a path whose value is in the parent's records.
pub struct Link {
    param: String,
    /// The field of the resource's own records in which the value is kept.
    pub field: String,
    /// The field of the parent's records in which it is.
    pub of_parent: String,
}

/// The path with values for its parameters: of a parent's records, or those that the document gives. Else what is needed.
pub fn filled(
    path: &str,
    parameters: &[Parameter<'_>],
    known: &[Resource<'_>],
) -> Result<(String, Option<Parent>), String> {
    let names: Vec<&str> = names(path).collect();
    // The nearest list counts: its records know those of the lists above it.
    let parent = names
        .iter()
        .rev()
        .find_map(|name| parent(path, name, known));
    let links = parent.as_ref().map_or(&[][..], |parent| &parent.links);
    let mut filled = path.to_owned();
    for name in names {
        let value = match links.iter().find(|link| link.param == name) {
            Some(link) => format!("{{{{ parent.{} }}}}", link.of_parent),
            None => given(name, parameters).ok_or_else(|| format!("needs `{name}`"))?,
        };
        filled = filled.replace(&marker(name), &value);
    }
    let has_space = path.chars().any(char::is_whitespace);
    if has_space || filled.contains(['?', '#']) {
        return Err("has a path that no resource can have".to_owned());
    }
    Ok((filled, parent))
}

fn marker(name: &str) -> String {
    format!("{{{name}}}")
}

/// The names of a path's parameters.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// The list behind which a parameter stands, if that can be pulled and its records have names.
fn parent(path: &str, name: &str, known: &[Resource<'_>]) -> Option<Parent> {
    let (list, behind) = path.split_once(&marker(name))?;
    let is_whole_segment = list.ends_with('/') && (behind.is_empty() || behind.starts_with('/'));
    let list = list.trim_end_matches('/');
    let owner = known
        .iter()
        .find(|resource| resource.operation.path.trim_end_matches('/') == list)
        .filter(|_| is_whole_segment)?;
    let above = owner.parent.iter().flat_map(|parent| &parent.links);
    let mut links: Vec<Link> = above
        .map(|link| Link {
            param: link.param.clone(),
            field: link.field.clone(),
            of_parent: link.field.clone(),
        })
        .collect();
    links.push(Link {
        param: name.to_owned(),
        field: FieldPath(name.to_owned()).column_name(),
        of_parent: owner.key.clone()?,
    });
    let name = owner.name.clone();
    Some(Parent { name, links })
}

/// A value that the document gives, where it can stand in a path.
fn given(name: &str, parameters: &[Parameter<'_>]) -> Option<String> {
    let parameter = parameters
        .iter()
        .find(|parameter| parameter.place == "path" && parameter.name == name)?;
    let is_plain = |value: &String| {
        !value.is_empty()
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte))
    };
    parameter.given().filter(is_plain)
}
