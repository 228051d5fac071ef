//! Translates the properties of Java clients to librdkafka's.

use super::properties::Property;
use crate::model::secret::Secret;

/// A property that is not supported, and what to use instead. Does not contain the property's value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) property: String,
    pub(crate) instead: String,
}

/// Other names of properties with the same meaning. This includes librdkafka's own aliases, so that a property is not set twice
/// under two names.
const RENAMED: &[(&str, &str)] = &[
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
];

/// Properties without effect, because they concern the internals of a Java client or because this crate's clients set them.
const IGNORED: &[&str] = &[
    "auto.include.jmx.reporter",
    "buffer.memory",
    "client.id",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "group.id",
    "group.instance.id",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.poll.records",
    "metadata.max.idle.ms",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "partitioner.class",
    "partitioner.ignore.keys",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "security.providers",
    "socket.connection.setup.timeout.max.ms",
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "value.deserializer",
    "value.serializer",
];

/// Properties that must not be ignored silently, with what to use instead.
const REFUSED: &[(&str, &str)] = &[
    (
        "config.providers",
        "config providers are not supported: write the values out, or use Harness::builder().property",
    ),
    ("sasl.client.callback.handler.class", NO_CLASS),
    ("sasl.login.callback.handler.class", NO_CLASS),
    ("sasl.login.class", NO_CLASS),
    ("ssl.engine.factory.class", NO_CLASS),
    (
        "transactional.id",
        "the crate's producer has no transactions: set it on the service's own producer, created from Kafka::producer_config",
    ),
];

const NO_CLASS: &str = "a Java class cannot be loaded: use a mechanism of librdkafka, such as sasl.mechanism PLAIN, SCRAM-SHA-512 \
                        or OAUTHBEARER with sasl.oauthbearer.method oidc";

const JKS_TRUSTSTORE: &str = "librdkafka does not read Java truststores: export the certificates with keytool -list -rfc and set \
                              ssl.ca.location to that file, or set this property to it and ssl.truststore.type to PEM";

const JKS_KEYSTORE: &str = "librdkafka reads keystores of the types PKCS12 and PEM: convert the keystore with keytool \
                            -importkeystore -deststoretype pkcs12";

/// Returns the name of the property in this crate's clients.
pub(crate) fn canonical(name: &str) -> &str {
    RENAMED.iter().find(|(java, _)| *java == name).map_or(name, |(_, ours)| ours)
}

/// Translates a Java client's properties to librdkafka's. librdkafka's own names are kept.
pub(crate) fn translate(pairs: Vec<(String, String)>) -> Result<Vec<Property>, Refusal> {
    let type_of = |store: &str| {
        let name = format!("ssl.{store}.type");
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_ascii_uppercase())
    };
    let (truststore, keystore) = (type_of("truststore"), type_of("keystore"));
    let mut ours: Vec<Property> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let refused = |instead: &str| Err(Refusal { property: key.clone(), instead: instead.to_owned() });
        let mut set = |key: &str, value: &str| ours.push((key.to_owned(), Secret(value.to_owned())));
        match key.as_str() {
            ignored if IGNORED.contains(&ignored) => {}
            // librdkafka refreshes logins itself.
            refresh if refresh.starts_with("sasl.login.refresh.") => {}
            // Java's values are class names, librdkafka's are names of its own strategies.
            "partition.assignment.strategy" if value.contains("org.apache.kafka.") => {}
            "sasl.jaas.config" => match login(&value) {
                Ok(login) => login.iter().for_each(|(key, value)| set(key, value)),
                Err(instead) => return refused(instead),
            },
            "ssl.truststore.type" | "ssl.keystore.type" => {}
            // librdkafka reads PEM truststores, which need no password.
            "ssl.truststore.password" => {}
            "ssl.truststore.location" => match truststore.as_deref() {
                Some("PEM") => set("ssl.ca.location", &value),
                _ => return refused(JKS_TRUSTSTORE),
            },
            "ssl.keystore.location" => match keystore.as_deref() {
                // One file contains the key and the certificates.
                Some("PEM") => {
                    set("ssl.key.location", &value);
                    set("ssl.certificate.location", &value);
                }
                // librdkafka reads PKCS12, and so does Java if no type is set.
                None | Some("PKCS12") => set(&key, &value),
                Some(_) => return refused(JKS_KEYSTORE),
            },
            "ssl.endpoint.identification.algorithm" => {
                set(&key, if value.is_empty() { "none" } else { &value });
            }
            // Java's -1 and librdkafka's 0 both leave it to the system.
            "send.buffer.bytes" | "receive.buffer.bytes" => {
                set(canonical(&key), if value == "-1" { "0" } else { &value });
            }
            name => match REFUSED.iter().find(|(refused, _)| *refused == name) {
                Some((_, instead)) => return refused(instead),
                None => set(canonical(name), &value),
            },
        }
    }
    Ok(ours)
}

/// Parses the user name and the password of a JAAS login, such as `….PlainLoginModule required username="u" password="p";`.
fn login(jaas: &str) -> Result<[(&'static str, String); 2], &'static str> {
    const NOT_JAAS: &str = "it takes one login module, as in org.apache.kafka.common.security.plain.PlainLoginModule required \
                            username=\"…\" password=\"…\";";
    let words = jaas_words(jaas).ok_or(NOT_JAAS)?;
    let (module, options) = words.split_first().ok_or(NOT_JAAS)?;
    match module.rsplit('.').next().unwrap_or(module) {
        "PlainLoginModule" | "ScramLoginModule" => {}
        "Krb5LoginModule" => {
            return Err("use sasl.kerberos.keytab, sasl.kerberos.principal and sasl.kerberos.service.name");
        }
        "OAuthBearerLoginModule" => {
            return Err(
                "use sasl.oauthbearer.method=oidc, sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret \
                        and sasl.oauthbearer.token.endpoint.url",
            );
        }
        _ => return Err(NO_CLASS),
    }
    let option = |name: &str| {
        let mut values = options.iter().filter_map(|word| word.split_once('='));
        values.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).ok_or(NOT_JAAS)
    };
    Ok([("sasl.username", option("username")?), ("sasl.password", option("password")?)])
}

/// Splits a JAAS entry into words, with quotes removed and escapes replaced. Returns `None` if the entry does not end with its
/// first semicolon.
fn jaas_words(jaas: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut characters = jaas.chars();
    let mut quote = None;
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => word.push(match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            }),
            (Some(open), close) if open == close => quote = None,
            (Some(_), other) => word.push(other),
            (None, '"' | '\'') => quote = Some(character),
            (None, ';') => {
                words.push(word);
                words.retain(|word| !word.is_empty());
                return characters.all(char::is_whitespace).then_some(words);
            }
            // `username = "u"` is the same as `username="u"`.
            (None, '=') => {
                if word.is_empty() {
                    word = words.pop()?;
                }
                word.push('=');
            }
            (None, space) if space.is_whitespace() => {
                if !word.is_empty() && !word.ends_with('=') {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, other) => word.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn translated(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refusal> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Ok(translate(pairs)?.into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"al ice\" password=\"p\\\"w;\\\\x\";";
    const SCRAM: &str = "  org.apache.kafka.common.security.scram.ScramLoginModule\n required\n username = 'bob'\n password = secret ;\n";

    #[rstest]
    #[case::librdkafkas_own(&[("socket.timeout.ms", "1"), ("no.such", "x")], &[("socket.timeout.ms", "1"), ("no.such", "x")])]
    #[case::same_in_both(&[("security.protocol", "SASL_SSL"), ("acks", "all")], &[("security.protocol", "SASL_SSL"), ("acks", "all")])]
    #[case::plain(&[("sasl.jaas.config", PLAIN)], &[("sasl.username", "al ice"), ("sasl.password", "p\"w;\\x")])]
    #[case::scram(&[("sasl.jaas.config", SCRAM)], &[("sasl.username", "bob"), ("sasl.password", "secret")])]
    #[case::pem_truststore(&[("ssl.truststore.type", "pem"), ("ssl.truststore.location", "/ca"), ("ssl.truststore.password", "x")],
                           &[("ssl.ca.location", "/ca")])]
    #[case::pem_in_place(&[("ssl.truststore.certificates", "C"), ("ssl.keystore.certificate.chain", "D"), ("ssl.keystore.key", "K")],
                         &[("ssl.ca.pem", "C"), ("ssl.certificate.pem", "D"), ("ssl.key.pem", "K")])]
    #[case::pkcs12(&[("ssl.keystore.location", "/k"), ("ssl.keystore.password", "x"), ("ssl.keystore.type", "PKCS12")],
                   &[("ssl.keystore.location", "/k"), ("ssl.keystore.password", "x")])]
    #[case::no_type(&[("ssl.keystore.location", "/k")], &[("ssl.keystore.location", "/k")])]
    #[case::pem_keystore(&[("ssl.keystore.location", "/k"), ("ssl.key.password", "x"), ("ssl.keystore.type", "PEM")],
                         &[("ssl.key.location", "/k"), ("ssl.certificate.location", "/k"), ("ssl.key.password", "x")])]
    #[case::no_host_name_check(&[("ssl.endpoint.identification.algorithm", "")], &[("ssl.endpoint.identification.algorithm", "none")])]
    #[case::host_name_check(&[("ssl.endpoint.identification.algorithm", "https")], &[("ssl.endpoint.identification.algorithm", "https")])]
    #[case::buffers(&[("send.buffer.bytes", "-1"), ("receive.buffer.bytes", "65536")],
                    &[("socket.send.buffer.bytes", "0"), ("socket.receive.buffer.bytes", "65536")])]
    #[case::other_names(&[("fetch.max.wait.ms", "9"), ("delivery.timeout.ms", "8"), ("sasl.mechanisms", "PLAIN")],
                        &[("fetch.wait.max.ms", "9"), ("message.timeout.ms", "8"), ("sasl.mechanism", "PLAIN")])]
    #[case::ours(&[("group.id", "g"), ("client.id", "c"), ("key.deserializer", "org.x"), ("ssl.protocol", "TLSv1.3"),
                   ("sasl.login.refresh.buffer.seconds", "1")], &[])]
    #[case::strategies(&[("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor")], &[])]
    #[case::a_strategy(&[("partition.assignment.strategy", "range")], &[("partition.assignment.strategy", "range")])]
    fn properties_are_translated(#[case] java: &[(&str, &str)], #[case] ours: &[(&str, &str)]) {
        let ours: Vec<_> = ours.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(translated(java), Ok(ours));
    }

    #[rstest]
    #[case::jks(&[("ssl.truststore.location", "/hunter2.jks")], "ssl.truststore.location", "PEM")]
    #[case::pkcs12_truststore(&[("ssl.truststore.location", "/hunter2"), ("ssl.truststore.type", "PKCS12")],
                              "ssl.truststore.location", "ssl.ca.location")]
    #[case::jks_keystore(&[("ssl.keystore.location", "/hunter2"), ("ssl.keystore.type", "JKS")], "ssl.keystore.location", "pkcs12")]
    #[case::kerberos(&[("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required keyTab=\"hunter2\";")],
                     "sasl.jaas.config", "sasl.kerberos.keytab")]
    #[case::token(&[("sasl.jaas.config", "a.OAuthBearerLoginModule required clientSecret='hunter2';")], "sasl.jaas.config", "oidc")]
    #[case::class(&[("sasl.client.callback.handler.class", "hunter2")], "sasl.client.callback.handler.class", "Java class")]
    #[case::own_module(&[("sasl.jaas.config", "org.example.Login required password=\"hunter2\";")], "sasl.jaas.config", "Java class")]
    #[case::no_password(&[("sasl.jaas.config", "a.PlainLoginModule required username=\"hunter2\";")], "sasl.jaas.config", "password")]
    #[case::no_semicolon(&[("sasl.jaas.config", "a.PlainLoginModule required password=\"hunter2\"")], "sasl.jaas.config", "one login")]
    #[case::two(&[("sasl.jaas.config", "a.PlainLoginModule required; a.ScramLoginModule x=hunter2;")], "sasl.jaas.config", "one login")]
    #[case::empty(&[("sasl.jaas.config", "")], "sasl.jaas.config", "one login")]
    #[case::only_equals(&[("sasl.jaas.config", "= hunter2;")], "sasl.jaas.config", "one login")]
    #[case::provider(&[("config.providers", "hunter2")], "config.providers", "write the values out")]
    #[case::transactions(&[("transactional.id", "hunter2")], "transactional.id", "producer_config")]
    fn an_unsupported_property_is_named(#[case] java: &[(&str, &str)], #[case] property: &str, #[case] instead: &str) {
        let refusal = translated(java).unwrap_err();
        assert_eq!(refusal.property, property);
        assert!(refusal.instead.contains(instead) && !refusal.instead.contains("hunter2"), "{}", refusal.instead);
    }
}
