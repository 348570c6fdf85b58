//! Wire `paginate` → `Paginate`.

use super::value;
use crate::definition::paginate::{End, Paginate, Token};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::paginate::{
    CursorForm, EndForm, KeysetForm, OffsetForm, PageForm, PaginateForm,
};

pub(super) fn validate(
    form: Option<PaginateForm>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Paginate> {
    Some(match form {
        None => Paginate::Auto,
        Some(PaginateForm::None) => Paginate::None,
        Some(PaginateForm::LinkHeader) => Paginate::LinkHeader,
        Some(PaginateForm::Odata) => Paginate::Odata,
        Some(PaginateForm::OdataDelta) => Paginate::OdataDelta,
        Some(PaginateForm::Offset(form)) => offset(form, &at.field("offset"), review)?,
        Some(PaginateForm::Page(form)) => page(form, &at.field("page"), review)?,
        Some(PaginateForm::Cursor(form)) => cursor(form, &at.field("cursor"), review)?,
        Some(PaginateForm::Keyset(form)) => keyset(form, &at.field("keyset"), review)?,
        Some(PaginateForm::NextLink(form)) => {
            let at = at.field("next_link").field("path");
            Paginate::NextLink {
                path: review.accept(&at, value::field_path(&form.path))?,
            }
        }
    })
}

fn offset(form: OffsetForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Paginate> {
    review.require(form.limit > 0, &at.field("limit"), at_least_one);
    let offset_param = param(
        form.offset_param,
        "offset",
        &at.field("offset_param"),
        review,
    );
    Some(Paginate::Offset {
        offset_param: offset_param?,
        limit_param: param(form.limit_param, "limit", &at.field("limit_param"), review)?,
        limit: form.limit,
        first: form.first,
        end: end(form.end, &at.field("end"), review)?,
    })
}

fn page(form: PageForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Paginate> {
    check_size(form.size, form.size_param.as_deref(), "size", at, review);
    check_param(form.size_param.as_ref(), &at.field("size_param"), review)?;
    Some(Paginate::Page {
        size_param: form.size_param,
        page_param: param(form.page_param, "page", &at.field("page_param"), review)?,
        size: form.size,
        first: form.first.unwrap_or(1),
        end: end(form.end, &at.field("end"), review)?,
    })
}

fn cursor(form: CursorForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Paginate> {
    let token = match (form.path, form.header) {
        (Some(path), None) => review
            .accept(&at.field("path"), value::field_path(&path))
            .map(Token::Body),
        (None, Some(header)) => review
            .accept(&at.field("header"), value::header_name(&header))
            .map(|()| Token::Header(header)),
        _ => review.accept(
            at,
            Err(
                "a token is in the body or in a header: write one of `path` and `header`"
                    .to_owned(),
            ),
        ),
    };
    Some(Paginate::Cursor {
        param: param(Some(form.param), "", &at.field("param"), review)?,
        token: token?,
        end: end(form.end, &at.field("end"), review)?,
    })
}

fn keyset(form: KeysetForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Paginate> {
    check_size(form.limit, form.limit_param.as_deref(), "limit", at, review);
    check_param(form.limit_param.as_ref(), &at.field("limit_param"), review)?;
    let field = review.accept(&at.field("field"), value::field_path(&form.field));
    Some(Paginate::Keyset {
        param: param(Some(form.param), "", &at.field("param"), review)?,
        field: field?,
        limit_param: form.limit_param,
        limit: form.limit,
        end: end(form.end, &at.field("end"), review)?,
    })
}

/// What is asked for must be known.
fn check_size(
    size: Option<u64>,
    param: Option<&str>,
    field: &str,
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    review.require(size != Some(0), &at.field(field), at_least_one);
    review.require(
        param.is_none() || size.is_some(),
        &at.field(&format!("{field}_param")),
        || {
            format!(
                "where a page's size is asked for it must be known: write `{field}: 100` as well"
            )
        },
    );
}

fn end(form: Option<EndForm>, at: &Path, review: &mut Review<'_, '_>) -> Option<End> {
    let Some(form) = form else {
        return Some(End::default());
    };
    let mut path = |name: &str, text: Option<String>| match text {
        None => Some(None),
        Some(text) => review
            .accept(&at.field(name), value::field_path(&text))
            .map(Some),
    };
    let has_more = path("has_more", form.has_more);
    let total = path("total", form.total);
    let pages = path("pages", form.pages);
    let end = End {
        has_more: has_more?,
        total: total?,
        pages: pages?,
    };
    review.require(!end.is_silent(), at, || {
        "an end is told by `has_more`, `total` or `pages`; leave it out where the pages themselves tell".to_owned()
    });
    Some(end)
}

fn at_least_one() -> String {
    "a page has at least one record".to_owned()
}

fn param(
    name: Option<String>,
    default: &str,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<String> {
    let name = name.unwrap_or_else(|| default.to_owned());
    review.accept(at, value::query_param(&name)).map(|()| name)
}

/// The parameter, if there is one.
fn check_param(name: Option<&String>, at: &Path, review: &mut Review<'_, '_>) -> Option<()> {
    match name {
        None => Some(()),
        Some(name) => review.accept(at, value::query_param(name)),
    }
}
