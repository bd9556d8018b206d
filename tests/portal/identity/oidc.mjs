// FranceConnect's and ProConnect's claims and settings on the real `oidc-provider`: node oidc.mjs <modules> <settings as JSON>
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
const [modules, text] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(createRequire(modules + '/').resolve('oidc-provider')));
const { port, clients, jwks, people } = JSON.parse(text);
const issuer = `http://127.0.0.1:${port}`;
const pivot = ['given_name', 'given_name_array', 'family_name', 'birthdate', 'gender', 'birthplace', 'birthcountry', 'preferred_username'];
const claims = { openid: ['sub'], acr: null, amr: null, auth_time: null, siret: ['siret'], usual_name: ['usual_name'] };
for (const name of pivot) claims[name] = [name];
const op = new Provider(issuer, {
  clients, jwks, claims, scopes: ['openid', ...pivot, 'siret', 'usual_name'], subjectTypes: ['pairwise'],
  pairwiseIdentifier: async (ctx, sub, client) => `${sub}-${client.clientId}v1`,
  acrValues: ['eidas1', 'eidas2', 'eidas3'], pkce: { required: () => true },
  clientAuthMethods: ['client_secret_post', 'private_key_jwt'],
  enabledJWA: {
    idTokenSigningAlgValues: ['ES256', 'HS256'], userinfoSigningAlgValues: ['ES256', 'HS256'],
    idTokenEncryptionAlgValues: ['ECDH-ES'], userinfoEncryptionAlgValues: ['ECDH-ES'], clientAuthSigningAlgValues: ['ES256'],
  },
  features: {
    devInteractions: { enabled: false }, jwtUserinfo: { enabled: true }, claimsParameter: { enabled: true }, encryption: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => { ctx.body = form; } },
  },
  ttl: { AccessToken: 60, AuthorizationCode: 30, IdToken: 60, Interaction: 600, Session: 1800, Grant: 600 },
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope(['openid', ...pivot, 'siret', 'usual_name'].join(' '));
    grant.addOIDCClaims(['acr', 'amr', 'auth_time']);
    await grant.save();
    return grant;
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});
op.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { params } = await op.interactionDetails(ctx.req, ctx.res);
  const who = ctx.headers['x-person'];
  const result = people[who]
    ? { login: { accountId: who, acr: ctx.headers['x-acr'] ?? params.acr_values?.split(' ')[0], amr: ['pwd'], remember: false } }
    : { error: 'access_denied', error_description: 'User auth aborted' };
  await op.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  ctx.respond = false;
});
op.listen(port, '127.0.0.1', () => console.log('ready'));
