//! Finds the XDP object that `cargo xtask build-ebpf` made, for `include_bytes!`, and writes the shipped packs
//! as JSON, which is read ten times as fast as YAML is.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

fn main() -> Result<(), Box<dyn Error>> {
    find_object()?;
    write_packs()
}

/// Each `rules/*.yaml`, without the tests at its end, as `packs/*.json`.
fn write_packs() -> Result<(), Box<dyn Error>> {
    // At run time: a build script compiled in one worktree may be run for another that shares its target directory.
    let rules = format!("{}/../rules", env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-changed={rules}");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("packs");
    fs::create_dir_all(&out)?;
    for entry in fs::read_dir(rules)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = name.strip_suffix(".yaml") else { continue };
        let text = fs::read_to_string(&path)?;
        let text = text.find("\ntests:").map_or(text.as_str(), |at| &text[..=at]);
        // What is wrong with it, the tests say, with its place.
        let json = serde_yaml::from_str::<Json>(text).map_or_else(|_| String::new(), |json| json.0);
        fs::write(out.join(name).with_extension("json"), json)?;
    }
    Ok(())
}

/// Any document as JSON, its keys in their order.
struct Json(String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsJson)
    }
}

struct AsJson;

impl<'de> Visitor<'de> for AsJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json(truth.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json(serde_json::Value::from(text).to_string()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json("null".to_owned()))
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Json(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json(format!("[{}]", items.join(","))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, Json(value))) = map.next_entry::<String, Json>()? {
            entries.push(format!("{}:{value}", serde_json::Value::from(key)));
        }
        Ok(Json(format!("{{{}}}", entries.join(","))))
    }
}

fn find_object() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=RAVELIN_XDP_OBJECT");
    let object = match env::var("RAVELIN_XDP_OBJECT") {
        Ok(object) => object,
        Err(_) => format!("{}/../target/bpf/ravelin.bpf.o", env::var("CARGO_MANIFEST_DIR")?),
    };
    println!("cargo::rerun-if-changed={object}");
    if Path::new(&object).is_file() {
        println!("cargo::rustc-env=RAVELIN_XDP_OBJECT={object}");
    } else {
        println!("cargo::error=the XDP object isn't built yet: run `cargo xtask build-ebpf` first");
    }
    Ok(())
}
