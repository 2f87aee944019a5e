// Remote forwards, from outside: the port on the server, its counters, and its way back after every kind of loss.
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  boxConfig,
  bringUp,
  exchange,
  killSessions,
  leaveDeadSocket,
  listenersOn,
  onlyForward,
  portOf,
  unixListenersOn,
} from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sendSignal, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { startStubbornServer } from '../helpers/stubborn-server.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld } from '../helpers/world.ts';

const served = { text: 'WHO IS THERE', error: null };

describe.skipIf(sshdMissing() !== null)('a remote forward', () => {
  test('on port 0 shows the server’s choice, counts truly, and has the same port after its session was killed', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget((socket) => socket.on('data', () => socket.end('12345678')));
    await using world = createWorld();
    await bringUp(world, sshd, `  hooks: { host: box, type: remote, remote: 0, local: ${target.port} }`);
    const { listen, ...forward } = onlyForward(await world.tunnel('hooks'));
    expect(listen).toMatch(/^127\.0\.0\.1:[1-9]\d+$/);
    expect(forward).toMatchObject({ target: `127.0.0.1:${target.port}`, bound: true, exposed: false });
    expect((await exchange(listen, 'abc')).text).toBe('12345678');
    const counted = await world.until('hooks', (tunnel) => onlyForward(tunnel).open === 0);
    // In: from the SSH side, which for -R is what the client on the server sent.
    expect(onlyForward(counted)).toMatchObject({ total: 1, failed: 0, bytesIn: 3, bytesOut: 8 });
    for (let kill = 1; kill <= 3; kill += 1) {
      killSessions(sshd);
      const back = await world.until(
        'hooks',
        (tunnel) => tunnel.state === 'up' && tunnel.reconnects === kill,
      );
      expect(onlyForward(back).listen).toBe(listen);
      expect(listenersOn(portOf(listen))).toBe(1);
      expect((await exchange(listen, 'abc')).text).toBe('12345678');
    }
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    expect(listenersOn(portOf(listen))).toBe(0);
  });

  test('is tried again until the server’s old session lets go of the port, and the hint names ClientAliveInterval', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const port = await freePort();
    await bringUp(
      world,
      sshd,
      `  hooks: { host: box, type: remote, remote: ${port}, local: ${target.port} }`,
    );
    const frozen = sshd.signalSessions('SIGSTOP');
    const refused = await world.until(
      'hooks',
      ({ state, error }) => state === 'retrying' && error?.code === 'FORWARD_REFUSED',
    );
    expect(refused.error?.hint).toContain('ClientAliveInterval');
    expect(onlyForward(refused)).toMatchObject({ bound: false });
    expect(refused.retryAt).toMatch(/Z$/);
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain(`127.0.0.1:${port}`);
    expect(up.stderr).toContain('ClientAliveInterval');
    sendSignal(frozen, 'SIGKILL');
    await world.until('hooks', ({ state }) => state === 'up');
    expect(await exchange(`:${port}`, 'who is there')).toEqual(served);
    await world.run(['down']);
    expect(listenersOn(port)).toBe(0);
  });

  test('that the server will not end says so, refuses its clients, and is taken over by the next up', async () => {
    await using server = await startStubbornServer();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const port = await freePort();
    world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${server.port}, user: me, host_keys: accept-new, agent: false }
tunnels:
  keep: { host: box, local: auto, remote: 9 }
  r: { host: box, type: remote, remote: ${port}, local: ${target.port} }
`);
    const address = `127.0.0.1:${port}`;
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    for (const cancel of ['refuse', 'late'] as const) {
      server.cancel = cancel;
      expect(await exchange(address, 'who is there')).toEqual(served);
      const down = await world.run(['down', 'r']);
      expect(down, down.stderr).toMatchObject({ code: 0, stdout: `r  down  ${address} not closed\n` });
      const why = { refuse: /refused to stop, and gave no reason/, late: /gave no answer in 2s/ }[cancel];
      expect(down.stderr).toMatch(why);
      expect(down.stderr).toContain(`still listens on ${address}`);
      expect(await world.tunnel('r')).toMatchObject({
        state: 'down',
        lastError: { code: 'FORWARD_REFUSED' },
      });
      expect((await exchange(address, 'x')).text).toBe('');
      const again = await world.run(['up', 'r']);
      expect(again, again.stderr).toMatchObject({ code: 0 });
    }
    expect(await exchange(address, 'who is there')).toEqual(served);
    expect(server.logins).toBe(1);
    server.cancel = 'obey';
    expect((await world.run(['down', 'r'])).stdout).toBe(`r  down  ${address} closed\n`);
    expect((await exchange(address, 'x')).text).toBe('');
    expect((await world.run(['up', 'r'])).code).toBe(0);
    expect(await exchange(address, 'who is there')).toEqual(served);
  });

  test('whose port is busy on the server ends `up` with 8 after its timeout, and serves when it is free', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    world.config(
      boxConfig(sshd, `  hooks: { host: box, type: remote, remote: ${port}, local: ${target.port} }`),
    );
    const up = await world.run(['up', '--timeout', '2s']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toMatch(/on 127\.0\.0\.1:\d+ of the server failed/);
    expect(up.stderr).toContain('goes on trying in the background');
    expect(await world.tunnel('hooks')).toMatchObject({
      state: 'retrying',
      error: { code: 'FORWARD_REFUSED' },
    });
    holder.close();
    expect(await world.run(['wait', 'hooks', '--timeout', '50s'])).toMatchObject({ code: 0 });
    expect(await exchange(`:${port}`, 'who is there')).toEqual(served);
  });

  test.each([
    ['PermitListen none', 'PermitListen'],
    ['PermitListen 127.0.0.1:1', 'PermitListen'],
    ['AllowTcpForwarding local', 'AllowTcpForwarding'],
    ['AllowTcpForwarding no', 'AllowTcpForwarding'],
    ['DisableForwarding yes', 'DisableForwarding'],
  ])('that %s forbids ends `up` with 8 at once, naming the setting', async (line, setting) => {
    await using sshd = await startSshd({ config: [line] });
    await using world = createWorld();
    world.config(boxConfig(sshd, '  hooks: { host: box, type: remote, remote: 0, local: 9 }'));
    const up = await world.run(['up', '--timeout', '10m']); // at once, or the test runs out of time
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain(setting);
    expect(up.stderr).toContain('sshd_config');
  });

  test('that GatewayPorts yes opens to everybody is shown as exposed', async () => {
    await using sshd = await startSshd({ config: ['GatewayPorts yes'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const said = await bringUp(
      world,
      sshd,
      `  hooks: { host: box, type: remote, remote: 0, local: ${target.port} }`,
    );
    expect(said).toContain('exposed');
    const forward = onlyForward(await world.tunnel('hooks'));
    expect(forward).toMatchObject({ bound: true, exposed: true });
    expect(await exchange(forward.listen, 'who is there')).toEqual(served);
    expect((await world.run(['status'])).stdout).toContain('(exposed)');
    expect((await world.run(['logs'])).stdout).toContain('GatewayPorts');
  });

  test.each(['no', 'clientspecified'])('with GatewayPorts %s is on loopback alone', async (value) => {
    await using sshd = await startSshd({ config: [`GatewayPorts ${value}`] });
    await using world = createWorld();
    await bringUp(world, sshd, '  hooks: { host: box, type: remote, remote: 0, local: 9 }');
    expect(onlyForward(await world.tunnel('hooks'))).toMatchObject({ bound: true, exposed: false });
  });

  test('whose target is not here resets that connection, and stays up', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const closed = await freePort();
    await bringUp(world, sshd, `  hooks: { host: box, type: remote, remote: 0, local: ${closed} }`);
    await exchange(onlyForward(await world.tunnel('hooks')).listen, 'x');
    const after = await world.until('hooks', (tunnel) => onlyForward(tunnel).failed === 1);
    expect(after.state).toBe('up');
    expect(onlyForward(after).error?.message).toContain(`127.0.0.1:${closed}`);
  });
});

describe.skipIf(sshdMissing() !== null)('a remote forward on a unix socket', () => {
  test('serves, is private, takes the place of a dead socket, comes back, and is gone after `down`', async () => {
    await using sshd = await startSshd({ config: ['Subsystem sftp internal-sftp'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const path = join(temporaryFolder('there'), 's');
    await leaveDeadSocket(path);
    await bringUp(
      world,
      sshd,
      `  hooks: { host: box, type: remote, remote: ${path}, local: ${target.port} }`,
    );
    expect(onlyForward(await world.tunnel('hooks'))).toMatchObject({ listen: path, bound: true });
    expect(statSync(path).mode & 0o077).toBe(0);
    expect(await exchange(path, 'who is there')).toEqual(served);
    killSessions(sshd); // SIGKILL: sshd leaves the file behind
    await world.until('hooks', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(await exchange(path, 'who is there')).toEqual(served);
    expect(unixListenersOn(path)).toBe(1);
    await world.run(['down']);
    expect(unixListenersOn(path)).toBe(0);
  });

  test('never takes the place of a file that is no socket, nor of a socket that lives', async () => {
    await using sshd = await startSshd({ config: ['Subsystem sftp internal-sftp'] });
    await using world = createWorld();
    const folder = temporaryFolder('there');
    const file = join(folder, 'file');
    const living = join(folder, 'living');
    writeFileSync(file, 'precious');
    const server = createServer((socket) => {
      socket.on('error', () => undefined); // asked whether it lives, and left
      socket.end('still me');
    }).listen(living);
    await once(server, 'listening');
    world.config(
      boxConfig(
        sshd,
        `
  file: { host: box, type: remote, remote: ${file}, local: 9 }
  living: { host: box, type: remote, remote: ${living}, local: 9 }`,
      ),
    );
    const up = await world.run(['up', '--timeout', '3s']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain('StreamLocalBindUnlink');
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect((await exchange(living, '')).text).toBe('still me');
    server.close();
    expect(existsSync(file)).toBe(true);
  });

  test('that AllowStreamLocalForwarding no forbids names it', async () => {
    await using sshd = await startSshd({ config: ['AllowStreamLocalForwarding no'] });
    await using world = createWorld();
    const path = join(temporaryFolder('there'), 's');
    world.config(boxConfig(sshd, `  hooks: { host: box, type: remote, remote: ${path}, local: 9 }`));
    const up = await world.run(['up', '--timeout', '10m']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain('AllowStreamLocalForwarding');
  });
});
