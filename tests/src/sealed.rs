//! Files sealed with age, sealed and opened without the code under test.

use std::io::{Read as _, Write as _};

use age::{
    Decryptor, Encryptor,
    armor::{ArmoredReader, ArmoredWriter, Format},
    secrecy::ExposeSecret as _,
    x25519::Identity,
};

/// An identity that nobody else has.
pub fn identity() -> String {
    Identity::generate().to_string().expose_secret().to_owned()
}

/// Seals a text to the recipient of an identity, in armor.
pub fn seal(identity: &str, text: &str) -> Vec<u8> {
    let recipient = identity.parse::<Identity>().unwrap().to_public();
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap();
    let mut writer = encryptor.wrap_output(armor).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().finish().unwrap()
}

/// Opens what is sealed to an identity, whole, or says why not.
pub fn open(identity: &str, armor: &[u8]) -> Result<String, String> {
    let identity = identity.parse::<Identity>().unwrap();
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(armor)).map_err(|error| error.to_string())?;
    let mut reader = decryptor.decrypt(std::iter::once(&identity as _)).map_err(|error| error.to_string())?;
    let mut text = String::new();
    reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}
