// The `none` request of a login: first, as ssh asks it; left out of a reconnect that needed more; it proves nothing.
import { join } from 'node:path';
import type { AuthContext, Connection } from 'ssh2';
import { describe, expect, test } from 'vitest';
import { createCredentials } from '../../../src/ssh/auth/credentials.ts';
import { provenInMemory } from '../../../src/ssh/auth/kept.ts';
import { startAuthServer } from '../../helpers/auth-server.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { bareHost, logIn, testParts, type LoginOptions } from '../../helpers/login.ts';
import { hostOf, testContext, testDialer } from '../../helpers/ssh-dialer.ts';
import { makeKey } from '../../helpers/sshd.ts';

const key = makeKey(join(temporaryFolder('none'), 'id'));
const otherKey = makeKey(join(temporaryFolder('none'), 'other'));
const hangUp = (_context: AuthContext, connection: Connection): void => void connection.end();

/** A server whose mind may change, and one memory of logins there. */
async function scene(rules: { none: boolean; keys: 'taken' | 'refused' | 'closed' }, identities = [key]) {
  let publickeys = 0;
  const server = await startAuthServer(
    ['publickey'],
    (context, connection) => {
      if (context.method !== 'publickey') return context.reject(['publickey']);
      publickeys += 1;
      if (rules.keys === 'closed') return hangUp(context, connection);
      const right = identities.length === 1 || publickeys % identities.length === 0;
      if (rules.keys === 'taken' && right) return context.accept();
      return context.reject(['publickey']);
    },
    (context) => (rules.none ? context.accept() : context.reject(['publickey'])),
  );
  const proven = provenInMemory();
  const logged: string[] = [];
  const credentials = createCredentials(testParts({ proven, log: (_l, _e, words) => logged.push(words) }));
  const host = bareHost(server.port, { identities, auth: ['publickey'] });
  let seen = 0;
  return {
    rules,
    host,
    logged,
    proven,
    credentials,
    /** One login: what it came to, and the requests of it. */
    async logIn(options: LoginOptions = {}) {
      const outcome = await logIn(host, options, credentials);
      const requests = server.requests.slice(seen);
      seen = server.requests.length;
      return { ...outcome, requests };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe('a login', () => {
  test('at a server that takes `none` and ends the connection at anything else is let in, and proves nothing', async () => {
    await using it = await scene({ none: true, keys: 'closed' });
    for (const _ of [1, 2]) {
      const { error, record, steps, requests } = await it.logIn();
      expect(error).toBeNull();
      expect(requests).toEqual(['none']);
      expect(record).toEqual({ accepted: [], attended: false });
      expect(steps).toMatchObject([{ layer: 'auth', status: 'ok', detail: 'let in without a credential' }]);
    }
    expect(it.logged.at(-1)).toMatch(/: let in without a credential$/);
    expect((await it.logIn({ onlyProven: true })).error?.code).toBe('AUTH_REFUSED');
  });

  test('leaves `none` out where the last one needed more, until it is forgotten', async () => {
    await using it = await scene({ none: false, keys: 'taken' });
    expect((await it.logIn()).requests).toEqual(['none', 'publickey']);
    expect((await it.logIn()).requests).toEqual(['publickey']);
    expect((await it.logIn({ onlyProven: true })).requests).toEqual(['publickey']);
    it.credentials.forgetAllBut([]);
    expect((await it.logIn()).requests).toEqual(['none', 'publickey']);
  });

  test('asks it after a refusal that the last one did not have, over the same connection', async () => {
    await using it = await scene({ none: false, keys: 'taken' });
    await it.logIn();
    it.rules.keys = 'refused';
    it.rules.none = true;
    const changed = await it.logIn();
    expect(changed).toMatchObject({ error: null, record: { accepted: [] } });
    expect(changed.requests).toEqual(['publickey', 'none']);
    expect((await it.logIn()).requests).toEqual(['none']);
  });

  test('does not spend an attempt on it where the last one was refused the same', async () => {
    await using it = await scene({ none: false, keys: 'taken' }, [otherKey, key]);
    expect((await it.logIn()).requests).toEqual(['none', 'publickey', 'publickey']);
    expect((await it.logIn()).requests).toEqual(['publickey', 'publickey']);
  });

  test('asks it first again after the server closed the connection', async () => {
    await using it = await scene({ none: false, keys: 'taken' });
    await it.logIn();
    it.rules.keys = 'closed';
    it.rules.none = true;
    const closed = await it.logIn();
    expect(closed.record).toBeNull();
    expect(closed.requests).toEqual(['publickey']);
    expect(await it.logIn()).toMatchObject({ error: null, requests: ['none'] });
  });

  test('that offers only what is proven does not ask it', async () => {
    await using it = await scene({ none: false, keys: 'taken' });
    await it.logIn();
    it.rules.keys = 'refused';
    expect((await it.logIn()).requests).toEqual(['publickey', 'none']);
    expect((await it.logIn({ onlyProven: true })).requests).toEqual(['publickey']);
  });
});

describe('a dial', () => {
  test('settles the host key before a credential is missed, and is let in where none is needed', async () => {
    for (const none of [false, true]) {
      await using server = await startAuthServer(['publickey'], hangUp, (context) =>
        none ? context.accept() : context.reject(['publickey']),
      );
      const { createLogin } = createCredentials(testParts());
      const { dialer, trust } = testDialer({ createLogin });
      const identity = join(temporaryFolder('none'), 'nowhere');
      const host = hostOf({ port: server.port, user: 'root', identity }, { hostKeys: 'ask' });
      const context = testContext(null, { acceptNew: true });
      const dial = dialer.dial(host, { via: null, transport: null }, context);
      const code = await dial.then(
        (session) => session.close().then(() => 'up'),
        (error: { code: string }) => error.code,
      );
      expect(code).toBe(none ? 'up' : 'KEY_UNREADABLE');
      if (none) expect(context.steps.at(-1)?.detail).toBe('let in without a credential');
      const name = `[127.0.0.1]:${server.port}`;
      expect((await trust.read([])).entries.map(({ hosts }) => hosts)).toEqual([name]);
    }
  });
});
