//! Keys of Kafka that concern security: known by name and type, reported, and without effect yet.

use super::*;

rows! { TLS, Ignored,
    "TLS, which is not served yet.";
    "ssl.allow.dn.changes": Boolean = "false";
    "ssl.allow.san.changes": Boolean = "false";
    "ssl.cipher.suites": List = "";
    "ssl.client.auth": Text = "none", Check::OneOf(&["required", "requested", "none"]);
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3";
    "ssl.endpoint.identification.algorithm": Text = "https";
    "ssl.engine.factory.class": Class = null;
    "ssl.key.password": Password = null;
    "ssl.keymanager.algorithm": Text = "SunX509";
    "ssl.keystore.certificate.chain": Password = null;
    "ssl.keystore.key": Password = null;
    "ssl.keystore.location": Text = null;
    "ssl.keystore.password": Password = null;
    "ssl.keystore.type": Text = "JKS";
    "ssl.principal.mapping.rules": Text = "DEFAULT";
    "ssl.protocol": Text = "TLSv1.3";
    "ssl.provider": Text = null;
    "ssl.secure.random.implementation": Text = null;
    "ssl.trustmanager.algorithm": Text = "PKIX";
    "ssl.truststore.certificates": Password = null;
    "ssl.truststore.location": Text = null;
    "ssl.truststore.password": Password = null;
    "ssl.truststore.type": Text = "JKS";
}

rows! { SASL, Ignored,
    "SASL, which is not served yet.";
    "connection.failed.authentication.delay.ms": Int = "100", Check::AtLeast(0);
    "connections.max.reauth.ms": Long = "0";
    "principal.builder.class": Class
        = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";
    "sasl.client.callback.handler.class": Class = null;
    "sasl.enabled.mechanisms": List = "GSSAPI";
    "sasl.jaas.config": Password = null;
    "sasl.kerberos.kinit.cmd": Text = "/usr/bin/kinit";
    "sasl.kerberos.min.time.before.relogin": Long = "60000";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT";
    "sasl.kerberos.service.name": Text = null;
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8";
    "sasl.login.callback.handler.class": Class = null;
    "sasl.login.class": Class = null;
    "sasl.login.connect.timeout.ms": Int = null;
    "sasl.login.read.timeout.ms": Int = null;
    "sasl.login.refresh.buffer.seconds": Short = "300";
    "sasl.login.refresh.min.period.seconds": Short = "60";
    "sasl.login.refresh.window.factor": Double = "0.8";
    "sasl.login.refresh.window.jitter": Double = "0.05";
    "sasl.login.retry.backoff.max.ms": Long = "10000";
    "sasl.login.retry.backoff.ms": Long = "100";
    "sasl.mechanism.controller.protocol": Text = "GSSAPI";
    "sasl.mechanism.inter.broker.protocol": Text = "GSSAPI";
    "sasl.oauthbearer.allow.unverified.audience": Boolean = "false";
    "sasl.oauthbearer.allow.unverified.issuer": Boolean = "false";
    "sasl.oauthbearer.assertion.algorithm": Text = "RS256";
    "sasl.oauthbearer.assertion.claim.aud": Text = null;
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", Check::Between(0, 86_400);
    "sasl.oauthbearer.assertion.claim.iss": Text = null;
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", Check::Between(0, 3_600);
    "sasl.oauthbearer.assertion.claim.sub": Text = null;
    "sasl.oauthbearer.assertion.file": Text = null;
    "sasl.oauthbearer.assertion.private.key.file": Text = null;
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null;
    "sasl.oauthbearer.assertion.template.file": Text = null;
    "sasl.oauthbearer.client.credentials.client.id": Text = null;
    "sasl.oauthbearer.client.credentials.client.secret": Password = null;
    "sasl.oauthbearer.clock.skew.seconds": Int = "30";
    "sasl.oauthbearer.expected.audience": List = "";
    "sasl.oauthbearer.expected.issuer": Text = null;
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100";
    "sasl.oauthbearer.jwks.endpoint.url": Text = null;
    "sasl.oauthbearer.jwt.retriever.class": Class
        = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever";
    "sasl.oauthbearer.jwt.validator.class": Class
        = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator";
    "sasl.oauthbearer.scope": Text = null;
    "sasl.oauthbearer.scope.claim.name": Text = "scope";
    "sasl.oauthbearer.sub.claim.name": Text = "sub";
    "sasl.oauthbearer.token.endpoint.url": Text = null;
    "sasl.server.callback.handler.class": Class = null;
    "sasl.server.max.receive.size": Int = "524288";
}

rows! { TOKENS, Ignored,
    "Delegation tokens, which Chronik does not have.";
    "delegation.token.expiry.check.interval.ms": Long = "3600000", Check::AtLeast(1);
    "delegation.token.expiry.time.ms": Long = "86400000", Check::AtLeast(1);
    "delegation.token.max.lifetime.ms": Long = "604800000", Check::AtLeast(1);
    "delegation.token.secret.key": Password = null;
}

rows! { ACCESS, Ignored,
    "Access rules, which are not served yet.";
    "authorizer.class.name": Text = "";
    "max.connections.per.ip.overrides": Text = "";
    "security.providers": Text = null;
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] = &[TLS, SASL, TOKENS, ACCESS];
