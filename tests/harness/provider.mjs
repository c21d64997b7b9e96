// A real OpenID Connect provider for the tests: two people, groups, and the device flow.
// Called with the folder of oidc-provider, the port, and JSON with clients, ttl of device codes and the
// file that lists who is not there any more.
import { existsSync, readFileSync } from 'node:fs';
const [folder, port, json] = process.argv.slice(2);
const { default: Provider } = await import(`${folder}/node_modules/oidc-provider/lib/index.js`);
const { clients, ttl, gone } = JSON.parse(json);
const people = {
  alice: { name: 'Alice Ångström', groups: ['ops', 'dev-web'] },
  bob: { name: 'Bob', groups: [] },
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'groups'],
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
  ttl: { DeviceCode: ttl, Interaction: 600, Session: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
  cookies: { keys: ['a test'] },
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  findAccount: (_, id) => existsSync(gone) && readFileSync(gone, 'utf8').includes(id) ? undefined : {
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, ...people[id] }),
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
