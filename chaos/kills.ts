// SIGKILL at any moment: commands and supervisors are killed while they change what is on disk, and after each kill everything that was
// confirmed must still be there, every file whole, and the next command must find nothing in its way.
import { spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseKnownHosts } from '../src/trust/known-hosts.ts';
import { startSshd, type Sshd } from '../test/helpers/sshd.ts';
import {
  built,
  createWorld,
  finished,
  isAlive,
  processEnd,
  type Ran,
  type World,
} from '../test/helpers/world.ts';
import { keyringMissing, startDesktop } from '../test/secrets/keyring.ts';
import type { StatusDocument } from '../src/model/status.ts';
import { createRandom, type Random } from './random.ts';

export interface KillsAsked {
  readonly seed: number;
  readonly kills: number;
}

export interface KillsReport {
  /** Kills by what was under way, and how many of them struck before it was over. */
  readonly struck: Readonly<Record<string, { readonly kills: number; readonly midway: number }>>;
  /** What was lost, torn, left lying or in the way, with the number of its kill. */
  readonly broken: readonly string[];
}

/** `successor`: the one that a supervisor is being replaced by, where it has been started already. */
type Victim = 'command' | 'supervisor' | 'successor';

/** What is under way when the kill comes. */
interface Deed {
  readonly name: string;
  /** Who is killed: one of these groups. */
  readonly victims: readonly (readonly Victim[])[];
  readonly args: readonly string[];
  readonly input?: string;
  /** Before it, so that it has something to do. */
  readonly before?: (scene: Scene) => Promise<unknown> | void;
  /** What must be there once it has ended with 0. */
  readonly confirmed?: (scene: Scene) => string | null;
}

/** A project file of two tunnels, its state in folders of its own. */
interface Scene {
  readonly world: World;
  readonly sshd: Sshd;
  readonly state: string;
  readonly env: Record<string, string>;
  saves: number;
  /** Milliseconds that each deed takes when nobody disturbs it: each moment of it shall have its turn. */
  readonly lasts: Map<Deed, number>;
}

/** Keys of hosts that nobody touches: they may never be lost. */
const strangers = ['one.test', 'two.test', 'three.test'];

const deeds: readonly Deed[] = [
  {
    name: 'up, which starts a supervisor',
    victims: [['command'], ['supervisor'], ['command', 'supervisor']],
    args: ['up', '--timeout', '10s'],
    before: (scene) => run(scene, ['down']),
    confirmed: (scene) =>
      wantedNames(scene).length === 2 ? null : 'a tunnel that up confirmed is not wanted',
  },
  {
    name: 'down of one',
    victims: [['command'], ['supervisor']],
    args: ['down', 'other'],
    before: (scene) => run(scene, ['up', '--timeout', '10s']),
    confirmed: (scene) =>
      wantedNames(scene).includes('other') ? 'down was confirmed, and it is wanted' : null,
  },
  {
    name: 'trust',
    victims: [['command'], ['supervisor'], ['command', 'supervisor']],
    args: ['trust', 'db', '--yes'],
    before: (scene) => run(scene, ['hosts', 'forget', `127.0.0.1:${scene.sshd.port}`]),
    confirmed: (scene) =>
      storedNames(scene).includes(`[127.0.0.1]:${scene.sshd.port}`)
        ? null
        : 'a key that trust confirmed is gone',
  },
  {
    name: 'allow',
    victims: [['command']],
    args: ['allow', '--yes'],
    before: (scene) => save(scene, 'consent'),
    confirmed: (scene) => (allowedFiles(scene) === 1 ? null : 'what allow confirmed is not allowed'),
  },
  {
    name: 'a save and a reload',
    victims: [['command'], ['supervisor'], ['command', 'supervisor']],
    args: ['reload'],
    before: async (scene) => {
      await run(scene, ['up', '--timeout', '10s']);
      save(scene, 'target');
    },
  },
  {
    name: 'a replacement of the supervisor',
    victims: [['command'], ['supervisor'], ['successor'], ['supervisor', 'successor']],
    args: ['restart', '--supervisor'],
    before: (scene) => run(scene, ['up', '--timeout', '10s']),
  },
];

/** Needs a keychain, and so is not everywhere. */
const secretDeed: Deed = {
  name: 'secret set',
  victims: [['command']],
  args: ['secret', 'set', 'box', 'password'],
  input: 'correct horse\n',
  confirmed: ({ state }) =>
    readdirSync(join(state, 'secrets')).some((name) => name.endsWith('.json')) ? null : 'its binding is gone',
};

/** Kills as often as asked. Needs an OpenSSH server. */
export async function runKills({ seed, kills }: KillsAsked): Promise<KillsReport> {
  const random = createRandom(seed);
  await using sshd = await startSshd();
  await using desktop = keyringMissing() === null ? await startDesktop() : null;
  await desktop?.startKeyring('unlock');
  await using world = createWorld();
  const scene = await createScene(world, sshd, desktop?.environment['DBUS_SESSION_BUS_ADDRESS'] ?? null);
  const all = desktop === null ? deeds : [...deeds, secretDeed];
  const struck: Record<string, { kills: number; midway: number }> = {};
  const broken: string[] = [];
  try {
    for (const deed of all) scene.lasts.set(deed, await undisturbed(scene, deed));
    for (let kill = 1; kill <= kills; kill += 1) {
      const deed = all[(kill - 1) % all.length] as Deed;
      const { midway, faults } = await strike(scene, deed, random);
      const count = (struck[deed.name] ??= { kills: 0, midway: 0 });
      count.kills += 1;
      if (midway) count.midway += 1;
      broken.push(...faults.map((fault) => `kill ${kill}, ${deed.name}: ${fault}`));
    }
    broken.push(...(await litter(scene, all)));
  } finally {
    await run(scene, ['down']);
  }
  return { struck, broken };
}

async function createScene(world: World, sshd: Sshd, bus: string | null): Promise<Scene> {
  const state = join(world.folder, 'state', 'tunnel');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const places = {
    TUNNEL_HOME: '',
    XDG_STATE_HOME: join(world.folder, 'state'),
    XDG_RUNTIME_DIR: world.folder,
  };
  const env = { ...world.env, ...places, ...(bus === null ? {} : { DBUS_SESSION_BUS_ADDRESS: bus }) };
  const scene = { world, sshd, state, env, saves: 0, lasts: new Map<Deed, number>() };
  const key = sshd.knownHostsLine().split(' ').slice(1).join(' ').trim();
  const lines = strangers.map((name) => `${name} ${key}\n`);
  writeFileSync(join(state, 'known_hosts'), lines.join(''), { mode: 0o600 });
  save(scene, 'target');
  for (const args of [['allow', '--yes'], ['trust', 'db', '--yes'], ['up']]) {
    const ran = await run(scene, args);
    if (ran.code !== 0) throw new Error(`${args.join(' ')}: ${ran.stderr}`);
  }
  return scene;
}

/** As an editor does it: written beside, renamed. `consent`: what must be allowed again; `target`: what need not. */
function save(scene: Scene, what: 'consent' | 'target'): void {
  const { sshd, world } = scene;
  scene.saves += 1;
  const timeout = what === 'consent' ? 10 + scene.saves : 10;
  const text = `hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, connect_timeout: ${timeout}s }
tunnels:
  db: { host: box, local: auto, remote: ${9 + scene.saves} }
  other: { host: box, local: auto, remote: 9 }
`;
  const path = join(world.folder, 'tunnels.yaml');
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function start({ world, env }: Scene, args: readonly string[], input = ''): ChildProcess {
  const child = spawn(process.execPath, [built, ...args], { env, cwd: world.folder });
  child.stdin.on('error', () => undefined); // killed before it read
  child.stdin.end(input);
  return child;
}

function run(scene: Scene, args: readonly string[], input?: string): Promise<Ran> {
  return finished(start(scene, args, input));
}

async function undisturbed(scene: Scene, deed: Deed): Promise<number> {
  await deed.before?.(scene);
  const begin = performance.now();
  await run(scene, deed.args, deed.input);
  return performance.now() - begin;
}

async function strike(
  scene: Scene,
  deed: Deed,
  random: Random,
): Promise<{ readonly midway: boolean; readonly faults: readonly string[] }> {
  await deed.before?.(scene);
  const wantedBefore = wantedNames(scene);
  const holderBefore = lockHolder(scene);
  const child = start(scene, deed.args, deed.input);
  const ended = finished(child);
  const late = delay(random.next() * 1.1 * (scene.lasts.get(deed) ?? 0));
  const over = await Promise.race([ended, late]);
  const victims = random.pick(deed.victims);
  const pids = supervisorsAmong(victims, scene, holderBefore);
  if (victims.includes('command')) child.kill('SIGKILL');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await Promise.all(pids.map(processEnd));
  const { code } = await ended;
  const faults = [...tornFiles(scene), ...lost(scene, deed, wantedBefore)];
  const unconfirmed = code === 0 ? (deed.confirmed?.(scene) ?? null) : null;
  if (unconfirmed !== null) faults.push(unconfirmed);
  faults.push(...(await inTheWay(scene)), ...(await strays(scene)));
  return { midway: over === undefined, faults };
}

/** Those of the victims that are supervisors, and live. `before`: who held the lock when the deed began. */
function supervisorsAmong(victims: readonly Victim[], scene: Scene, before: number | null): number[] {
  const old = before !== null && isAlive(before) ? before : lockHolder(scene);
  const pids = new Set<number>();
  if (victims.includes('supervisor') && old !== null) pids.add(old);
  if (victims.includes('successor')) for (const pid of supervisors(scene)) if (pid !== old) pids.add(pid);
  return [...pids].filter(isAlive);
}

/** Every supervisor of the scene that lives, whatever it is doing. */
function supervisors({ world }: Scene): number[] {
  const config = join(world.folder, 'tunnels.yaml');
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      const words = wordsOf(pid);
      return words.includes('__supervise') && words.includes(config) && isAlive(pid);
    });
}

function wordsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // no process, or one that has just ended
  }
}

/** One that nobody can speak to ends soon, once it carries nothing any more. */
const strayLimitMs = 20_000;

async function strays(scene: Scene): Promise<readonly string[]> {
  const begin = performance.now();
  for (;;) {
    const left = supervisors(scene).filter((pid) => pid !== lockHolder(scene));
    if (left.length === 0) return [];
    if (performance.now() - begin > strayLimitMs)
      return left.map((pid) => `a supervisor that nobody speaks to (pid ${pid}) does not end`);
    await delay(50);
  }
}

/** Everything works again without anybody's help. */
async function inTheWay(scene: Scene): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const args of [
    ['allow', '--yes'],
    ['trust', 'db', '--yes'],
    ['up', '--timeout', '20s'],
  ]) {
    const { code, stderr } = await run(scene, args);
    if (code !== 0) faults.push(`afterwards ${args.join(' ')} ended with ${code}: ${stderr}`);
  }
  const { stdout } = await run(scene, ['status', '--json']);
  const { tunnels } = JSON.parse(stdout) as StatusDocument;
  const states = tunnels.map(({ state }) => state);
  if (states.join() !== 'up,up') faults.push(`afterwards the tunnels are ${states.join()}`);
  for (const { name, forwards } of tunnels)
    if (await refuses(forwards[0]?.listen ?? '')) faults.push(`afterwards ${name} refuses connections`);
  return faults;
}

/** Nothing is behind the tunnels: a connection that is accepted may be reset before this process has looked. */
function refuses(listen: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(listen.split(':').at(-1)), '127.0.0.1');
    const told = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once('connect', () => told(false))
      .once('error', ({ code }: NodeJS.ErrnoException) => told(code === 'ECONNREFUSED'));
  });
}

function supervisorFolder({ state }: Scene): string | null {
  const machine = readdirSync(state, { withFileTypes: true }).find(
    (entry) => entry.isDirectory() && !['secrets', 'cache'].includes(entry.name),
  );
  if (machine === undefined) return null;
  const [one] = readdirSync(join(state, machine.name));
  return one === undefined ? null : join(state, machine.name, one);
}

function lockHolder(scene: Scene): number | null {
  try {
    const text = readFileSync(join(supervisorFolder(scene) ?? '', 'lock'), 'utf8');
    return (JSON.parse(text) as { readonly pid: number }).pid;
  } catch {
    return null; // nobody has it
  }
}

function wantedNames(scene: Scene): readonly string[] {
  const path = join(supervisorFolder(scene) ?? '', 'wanted.json');
  return existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as { readonly names: readonly string[] }).names
    : [];
}

function storedNames({ state }: Scene): readonly string[] {
  const path = join(state, 'known_hosts');
  return parseKnownHosts(readFileSync(path, 'utf8'), path).entries.map(({ hosts }) => hosts);
}

function allowedFiles({ state }: Scene): number {
  const text = readFileSync(join(state, 'allowed.json'), 'utf8');
  return Object.keys((JSON.parse(text) as { readonly files: object }).files).length;
}

/** Files that cannot be read as what they are. */
function tornFiles(scene: Scene): string[] {
  const faults: string[] = [];
  const { state } = scene;
  const store = join(state, 'known_hosts');
  const text = readFileSync(store, 'utf8');
  const lines = text.split('\n').filter((line) => line !== '').length;
  if (!text.endsWith('\n') || parseKnownHosts(text, store).entries.length !== lines)
    faults.push(`a torn line in known_hosts: ${text}`);
  for (const name of readdirSync(state, { recursive: true, encoding: 'utf8' })) {
    if (!/(\.json|\.jsonl|tunnel\.log)$/.test(name)) continue;
    const written = readFileSync(join(state, name), 'utf8');
    const documents = name.endsWith('.json') ? [written] : written.trimEnd().split('\n');
    for (const document of documents.filter((each) => name.endsWith('.json') || each !== ''))
      if (!isJson(document)) faults.push(`${name} is torn: ${document.slice(0, 200)}`);
  }
  return faults;
}

function isJson(text: string): boolean {
  try {
    return JSON.parse(text) !== undefined;
  } catch {
    return false;
  }
}

/** What was confirmed before and is gone. */
function lost(scene: Scene, deed: Deed, wantedBefore: readonly string[]): string[] {
  const faults: string[] = [];
  const names = storedNames(scene);
  for (const name of strangers) if (!names.includes(name)) faults.push(`the key of ${name} is lost`);
  if (allowedFiles(scene) !== 1) faults.push('the consent is lost');
  const wanted = wantedNames(scene);
  const kept = wantedBefore.filter((name) => deed.args[0] !== 'down' || name !== deed.args[1]);
  for (const name of kept) if (!wanted.includes(name)) faults.push(`${name} is wanted no more`);
  return faults;
}

/** The names that files may have when all is done; each is looked at after what was abandoned has come of age. */
const known =
  /^(known_hosts|known_hosts\.seen\.json|allowed\.json|[\w-]+\.json|secrets(\/[0-9a-f]{32}\.json)?|cache(\/code-[\w.-]+)?)$/;
const knownBelow = /^(lock|address\.json|wanted\.json|adhoc\.json|history\.jsonl|tunnel\.log(\.[1-4])?)$/;

async function litter(scene: Scene, all: readonly Deed[]): Promise<readonly string[]> {
  const old = new Date(Date.now() - 120_000);
  const names = (): string[] => readdirSync(scene.state, { recursive: true, encoding: 'utf8' });
  for (const name of names().filter((each) => /\.\d{5,}$/.test(each)))
    utimesSync(join(scene.state, name), old, old);
  for (const deed of all) {
    await deed.before?.(scene);
    await run(scene, deed.args, deed.input);
  }
  await run(scene, ['up']);
  const folder = supervisorFolder(scene) ?? '';
  const machine = join(folder, '..');
  const strange = names().filter((name) => {
    const path = join(scene.state, name);
    if (path === folder || path === machine) return false;
    return path.startsWith(`${folder}/`)
      ? !knownBelow.test(path.slice(folder.length + 1))
      : !known.test(name);
  });
  return strange.map((name) => `${name} is left lying`);
}
