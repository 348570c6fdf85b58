//! Takes out of Swagger UI, as it is published, what the page of documentation needs.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::error::Error;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;
use std::{env, fs};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let script = text(&mut archive, "/dist/swagger-ui-bundle.js")?;
    // Within a page the first of these would end the script.
    let script = script.replace("</script", "<\\/script");
    fs::write(folder.join("viewer.js.gz"), packed(&script)?)?;
    let style = text(&mut archive, "/dist/swagger-ui.css")?;
    fs::write(folder.join("viewer.css.gz"), packed(&style)?)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Packed, since it would be a tenth of the function.
fn packed(text: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// The text of the file that ends so.
fn text(archive: &mut ZipArchive<Cursor<&[u8]>>, end: &str) -> Result<String, Box<dyn Error>> {
    let names = archive.file_names().filter_map(Result::ok);
    let name = names.map(Cow::into_owned).find(|name| name.ends_with(end));
    let name = name.ok_or_else(|| format!("Swagger UI has no {end}"))?;
    let mut text = String::new();
    archive.by_name(&name)?.read_to_string(&mut text)?;
    Ok(text)
}
