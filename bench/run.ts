// The benchmarks of the promise "faster than ssh -L": both sides in one run, medians and ratios, never in a test.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { freePort, startSshd, type Sshd } from '../test/helpers/sshd.ts';
import { startTarget } from '../test/helpers/targets.ts';
import { createWorld, type World } from '../test/helpers/world.ts';

const megabyte = 1024 * 1024;
const rounds = Number(process.env['ROUNDS'] ?? 5);
const bulkBytes = Number(process.env['BULK_MB'] ?? 256) * megabyte;
const chunk = Buffer.alloc(256 * 1024, 7);

/** One way through: the port to connect to, and how to end it. */
interface Way {
  readonly name: string;
  readonly port: number;
  readonly end: () => void;
}

interface Row {
  readonly what: string;
  readonly unit: string;
  readonly medians: Readonly<Record<string, number>>;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const seconds = (since: bigint): number => Number(process.hrtime.bigint() - since) / 1e9;

/** A user-space delay line in front of a port: every byte arrives `delayMs` later, both ways. */
async function delayed(port: number, delayMs: number): Promise<{ port: number; close: () => void }> {
  const later = (from: Socket, to: Socket): void => {
    from.on('data', (data) => setTimeout(() => to.writable && to.write(data), delayMs));
    from.on('close', () => setTimeout(() => to.destroy(), delayMs));
    from.on('error', () => undefined);
  };
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true });
    later(near, far);
    later(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () => server.close(),
  };
}

async function viaSsh(
  name: string,
  sshd: Sshd,
  port: number,
  target: number,
  options: readonly string[],
): Promise<Way> {
  const local = await freePort();
  const common = [
    '-F',
    'none',
    '-N',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ];
  const child = spawn(
    'ssh',
    [
      ...common,
      ...options,
      '-i',
      sshd.identity,
      '-p',
      String(port),
      '-L',
      `127.0.0.1:${local}:127.0.0.1:${target}`,
      `${sshd.user}@127.0.0.1`,
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  while (!(await open(local))) await new Promise((resolve) => setTimeout(resolve, 50));
  return { name, port: local, end: () => child.kill() };
}

async function open(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function viaTunnel(world: World, sshd: Sshd, port: number, target: number): Promise<Way> {
  const local = await freePort();
  world.config(`
hosts: { box: { hostname: 127.0.0.1, port: ${port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new } }
tunnels: { bench: { host: box, local: ${local}, remote: "127.0.0.1:${target}" } }
`);
  const ran = await world.run(['up']);
  if (ran.code !== 0) throw new Error(ran.stderr);
  return { name: 'tunnel', port: local, end: () => undefined };
}

/** MiB/s of `bytes` in the direction asked for, acknowledged by the far end. */
async function bulk(port: number, bytes: number, direction: 'up' | 'down'): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise((resolve) => socket.once('connect', resolve));
  const begin = process.hrtime.bigint();
  if (direction === 'down') {
    socket.end(`down ${bytes}\n`);
    let received = 0;
    socket.on('data', (data) => (received += data.length));
    await new Promise((resolve) => socket.once('end', resolve));
    if (received !== bytes) throw new Error(`${received} of ${bytes} bytes came`);
  } else {
    socket.write('up\n');
    socket.resume();
    const ended = new Promise((resolve) => socket.once('end', resolve));
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    socket.end();
    await ended;
  }
  return bytes / megabyte / seconds(begin);
}

/** Serves "down N", "up" and, for anything else, an echo. */
function serve(socket: Socket): void {
  socket.setNoDelay(true);
  socket.once('data', (first) => {
    const line = first.toString('latin1', 0, 32);
    if (line.startsWith('down ')) return void send(socket, Number.parseInt(line.slice(5), 10));
    if (line.startsWith('up\n')) {
      socket.on('end', () => socket.end('ok'));
      socket.resume();
      return;
    }
    socket.write(first);
    socket.on('data', (data) => socket.write(data));
    socket.on('end', () => socket.end());
  });
}

async function send(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= chunk.length) {
    const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
    if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
}

/** New connections a second: connect, one echoed byte, close; eight at a time. */
async function connections(port: number, count: number): Promise<number> {
  const begin = process.hrtime.bigint();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.write('x');
      await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return count / seconds(begin);
}

/** Median milliseconds of a 64-byte request and its answer on one connection. */
async function roundTrip(port: number, count: number): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const times: number[] = [];
  const message = Buffer.alloc(64, 120);
  for (let index = 0; index < count; index += 1) {
    const begin = process.hrtime.bigint();
    socket.write(message);
    await new Promise((resolve) => socket.once('data', resolve));
    times.push(seconds(begin) * 1000);
  }
  socket.destroy();
  return median(times);
}

/** Runs a measure over all ways in turn, round by round, so that noise hits all alike. */
async function compare(
  what: string,
  unit: string,
  ways: readonly Way[],
  measure: (port: number) => Promise<number>,
): Promise<Row> {
  const values = new Map<string, number[]>(ways.map((way) => [way.name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) values.get(way.name)?.push(await measure(way.port));
  }
  return { what, unit, medians: Object.fromEntries([...values].map(([name, all]) => [name, median(all)])) };
}

async function startUp(): Promise<Row[]> {
  const bin = join(import.meta.dirname, '../bin/tunnel.js');
  const world = createWorld();
  world.config('tunnels: { a: { host: x@127.0.0.1, local: auto, remote: 1 } }\n');
  const sshd = await startSshd();
  await viaTunnel(world, sshd, sshd.port, 9);
  const time = (args: string[]): number => {
    const begin = process.hrtime.bigint();
    execFileSync(process.execPath, args, { env: world.env, stdio: 'ignore' });
    return seconds(begin) * 1000;
  };
  const commands: Record<string, string[]> = {
    'node -e 0': ['-e', '0'],
    'tunnel status': [bin, 'status'],
    'tunnel --help': [bin, '--help'],
  };
  const values = Object.fromEntries(Object.keys(commands).map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds * 4; round += 1) {
    for (const [name, args] of Object.entries(commands)) values[name]?.push(time(args));
  }
  await world[Symbol.asyncDispose]();
  await sshd.stop();
  return [
    {
      what: 'start-up',
      unit: 'ms',
      medians: Object.fromEntries(Object.entries(values).map(([name, all]) => [name, median(all)])),
    },
  ];
}

async function main(): Promise<void> {
  const rows: Row[] = [];
  await using sshd = await startSshd();
  await using target = await startTarget(serve);
  await using world = createWorld();
  const ways = [
    await viaTunnel(world, sshd, sshd.port, target.port),
    await viaSsh('ssh -L', sshd, sshd.port, target.port, []),
    await viaSsh('ssh -c aes128-gcm -L', sshd, sshd.port, target.port, ['-c', 'aes128-gcm@openssh.com']),
  ];
  rows.push(await compare('bulk down, loopback', 'MiB/s', ways, (port) => bulk(port, bulkBytes, 'down')));
  rows.push(await compare('bulk up, loopback', 'MiB/s', ways, (port) => bulk(port, bulkBytes, 'up')));
  rows.push(await compare('new connections', '/s', ways, (port) => connections(port, 400)));
  rows.push(await compare('request and answer', 'ms', ways, (port) => roundTrip(port, 400)));
  for (const way of ways) way.end();

  const far = await delayed(sshd.port, 50);
  await using distant = createWorld();
  const farWays = [
    await viaTunnel(distant, sshd, far.port, target.port),
    await viaSsh('ssh -L', sshd, far.port, target.port, []),
  ];
  rows.push(
    await compare('bulk down, 100 ms round trip', 'MiB/s', farWays, (port) =>
      bulk(port, bulkBytes / 2, 'down'),
    ),
  );
  for (const way of farWays) way.end();
  rows.push(...(await startUp()));
  far.close();
  report(rows);
}

function report(rows: readonly Row[]): void {
  for (const row of rows) {
    console.log(`${row.what} (${row.unit})`);
    const base = Object.values(row.medians)[row.what === 'start-up' ? 0 : 1] ?? 1;
    for (const [name, value] of Object.entries(row.medians))
      console.log(`  ${name.padEnd(24)} ${value.toFixed(2).padStart(9)}  ${(value / base).toFixed(2)} x`);
  }
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'latest.json'),
    JSON.stringify({ at: new Date().toISOString(), node: process.version, rows }, null, 2),
  );
}

await main();
