//! JSON Web Tokens, signed with a private key: RFC 7515 in its compact form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_model::Failure;
use millrace_model::definition::auth::JwtAlgorithm;
use millrace_store::secrets::{Secret, SecretError};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

/// The claims as a token that the key has signed.
pub(super) fn sign(
    algorithm: JwtAlgorithm,
    key_id: Option<&str>,
    claims: &Value,
    key: &Secret,
) -> Result<String, Failure> {
    let name = match algorithm {
        JwtAlgorithm::RS256 => "RS256",
        JwtAlgorithm::ES256 => "ES256",
    };
    let mut header = json!({ "alg": name, "typ": "JWT" });
    if let Some(key_id) = key_id {
        header["kid"] = key_id.into();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let der = PrivateKeyDer::from_pem_slice(key.text().as_bytes()).map_err(|_| {
        key.malformed("is no private key in PEM: `-----BEGIN PRIVATE KEY-----` and so on")
    })?;
    let signature = match algorithm {
        JwtAlgorithm::RS256 => rsa(&der, message.as_bytes(), key)?,
        JwtAlgorithm::ES256 => ecdsa(&der, message.as_bytes(), key)?,
    };
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn rsa(der: &PrivateKeyDer<'_>, message: &[u8], key: &Secret) -> Result<Vec<u8>, SecretError> {
    let unfit = || key.malformed("is no RSA key of 2048 to 4096 bits, which RS256 needs");
    let pair = match der {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(unfit()),
    };
    let pair = pair.map_err(|_| unfit())?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message,
        &mut signature,
    )
    .map_err(|_| unfit())?;
    Ok(signature)
}

fn ecdsa(der: &PrivateKeyDer<'_>, message: &[u8], key: &Secret) -> Result<Vec<u8>, SecretError> {
    let PrivateKeyDer::Pkcs8(der) = der else {
        let problem = "is no key in PKCS #8, which ES256 needs: `openssl pkcs8 -topk8 -nocrypt -in key.pem` makes one";
        return Err(key.malformed(problem));
    };
    let random = SystemRandom::new();
    let signed = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        der.secret_pkcs8_der(),
        &random,
    )
    .ok()
    .and_then(|pair| pair.sign(&random, message).ok());
    let signature =
        signed.ok_or_else(|| key.malformed("is no key on the curve P-256, which ES256 needs"))?;
    Ok(signature.as_ref().to_vec())
}
