// Short-lived certificates through the built program: a command makes them (here ssh-keygen), before logins and for planned
// rotations; its failure is a state with words, and no loop.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { clientAt, exchange, onlyForward } from '../helpers/forwards-world.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { outcomeOf, startTarget, uppercase } from '../helpers/targets.ts';
import { eventually, sign } from '../helpers/ways-in.ts';
import { createWorld, type World } from '../helpers/world.ts';

interface House extends AsyncDisposable {
  readonly world: World;
  readonly sshd: Sshd;
  /** What the issuer does from now on, after it is counted: sh, with $KEY and $CA. */
  issuer(script: string): void;
  runs(): number;
  /** Certificates that the server let in, by the id that the issuer gave them. */
  letIn(): readonly string[];
}

const signing = (validity: string): string =>
  `ssh-keygen -q -s "$CA" -I "run$(wc -c < "$KEY.runs")" -n "$USER" -V ${validity} "$KEY.pub"`;

/** A server that takes certificates alone, and a host `box` whose certificate a script makes. */
async function openHouse(target: number, renewBefore: string): Promise<House> {
  const world = createWorld();
  const ca = makeKey(join(world.folder, 'ca'));
  const sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`, 'AuthorizedKeysFile none'] });
  const key = makeKey(join(world.folder, 'id'));
  const script = join(world.folder, 'issue.sh');
  world.config(`
hosts:
  box:
    hostname: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identity: [id]
    agent: false
    certificate: { command: [sh, ${script}, s3cret], file: id-cert.pub, renew_before: ${renewBefore} }
tunnels:
  db: { host: box, local: auto, remote: ${target} }
`);
  return {
    world,
    sshd,
    issuer: (text) =>
      writeFileSync(script, `KEY=${key} CA=${ca} USER=${sshd.user}\nprintf x >> $KEY.runs\n${text}\n`),
    runs: () => (existsSync(`${key}.runs`) ? readFileSync(`${key}.runs`, 'utf8').length : 0),
    letIn: () => [...sshd.log().matchAll(/Accepted certificate ID "(\w+)"/g)].map(([, id = '']) => id),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await sshd.stop();
    },
  };
}

describe.skipIf(sshdMissing() !== null)('a certificate that a command makes', () => {
  test('is asked for behind the host key, lets the tunnel in, and is used until it ends', async () => {
    await using target = await startTarget(uppercase);
    await using house = await openHouse(target.port, '10m');
    const { world } = house;
    house.issuer(signing('-1m:+1h'));
    expect((await world.run(['up'])).code).toBe(7);
    expect(house.runs()).toBe(0);
    await world.run(['trust', '--fingerprint', house.sshd.fingerprint(), 'db']);
    const up = await world.run(['up']);
    expect(up.code, up.stderr).toBe(0);
    expect(await exchange(onlyForward(await world.tunnel('db')).listen, 'x')).toMatchObject({ text: 'X' });
    expect((await world.run(['restart', 'db'])).code).toBe(0);
    expect(house.runs()).toBe(1);
    expect(new Set(house.letIn())).toEqual(new Set(['run1']));
    const shown = JSON.parse((await world.run(['show', '--json'])).stdout) as { hops: object[] }[];
    expect(shown[0]?.hops[0]).toMatchObject({ certificates: [join(world.folder, 'id-cert.pub')] });
  });

  test('that cannot be made is told in the words of the command, not in a loop, and is made when it can be', async () => {
    await using target = await startTarget(uppercase);
    await using house = await openHouse(target.port, '10m');
    const { world } = house;
    await world.run(['trust', '--fingerprint', house.sshd.fingerprint(), 'db']);
    // What it leaves behind is another nonsense each time: no change of the file is a reason to run it again.
    house.issuer('cat "$KEY.runs" > "$KEY-cert.pub"; echo begin >&2; echo "Vault is sealed" >&2; exit 2');
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect(up.stderr).toContain('the certificate command sh failed: it ended with 2: Vault is sealed');
    expect(up.stderr).toMatch(/^hint: tunnel restart db {4}# runs it again$/m);
    expect(up.stderr).not.toContain('s3cret');
    for (let turn = 0; turn < 3; turn += 1) expect((await world.run(['up'])).code).toBe(6);
    const status = await world.tunnel('db');
    expect(status).toMatchObject({ state: 'needs-you', error: { code: 'KEY_UNREADABLE' } });
    expect(status.error?.message).toContain('Vault is sealed');
    // Somebody makes one by hand: that is a change, and enough.
    sign(join(world.folder, 'ca'), join(world.folder, 'id'), '-I', 'hand', '-n', house.sshd.user);
    await world.until('db', ({ state }) => state === 'up');
    expect(new Set(house.letIn())).toEqual(new Set(['hand']));
    expect(house.runs()).toBe(1);
    rmSync(join(world.folder, 'id-cert.pub'));
    house.issuer(signing('-1m:+1h'));
    const restart = await world.run(['restart', 'db']);
    expect(restart.code, restart.stderr).toBe(0);
    expect(new Set(house.letIn())).toEqual(new Set(['hand', 'run2']));
  });

  test('is renewed before it ends, and the session replaced by one with the new certificate', async () => {
    await using target = await startTarget(uppercase);
    await using house = await openHouse(target.port, '5s');
    const { world } = house;
    await world.run(['trust', '--fingerprint', house.sshd.fingerprint(), 'db']);
    house.issuer(`[ $(wc -c < "$KEY.runs") -gt 1 ] && LIFE=+1h; ${signing('-1m:${LIFE:-+12s}')}`);
    const up = await world.run(['up']);
    expect(up.code, up.stderr).toBe(0);
    const { listen } = onlyForward(await world.tunnel('db'));
    const client = clientAt(listen);
    const outcome = outcomeOf(client);
    client.write('before ');
    await eventually(() => house.letIn().includes('run2'));
    client.end('after');
    expect(await outcome).toEqual({ text: 'BEFORE AFTER', error: null });
    expect(await exchange(listen, 'x')).toMatchObject({ text: 'X', error: null });
    expect(await world.tunnel('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
    expect(house.runs()).toBe(2);
    expect((await world.run(['logs'])).stdout).toContain('runs sh for the certificate in ');
  });
});
