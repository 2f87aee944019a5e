// What of this machine would keep tunnels from coming up: one check after the other, in the order in which their exit codes
// count (SPEC 4). No server is dialled, a port is tried for a moment, and nothing that a project file names is touched before it
// is allowed.
import { editorSchemaProblem } from '../config/editor-schema.ts';
import { ConfigError, formatIssue } from '../config/issue.ts';
import { loadConfig } from '../config/load.ts';
import { findConfig, shortPath, type FoundConfig } from '../config/locate.ts';
import { replacing } from '../control/reach.ts';
import { asTunnelError, type ErrorCode, type Hint } from '../errors.ts';
import { runProgram } from '../files/child.ts';
import { canBeWritten, checkOwnFolder, readOnlyState, stateFolders } from '../files/folders.ts';
import { tryLocalPorts } from '../forward/try-ends.ts';
import { certificateWords, formatTime, validityAt, type Certificate } from '../keys/certificate.ts';
import { cleanText } from '../model/clean.ts';
import { systemClock } from '../model/clock.ts';
import { collide, type Endpoint } from '../model/endpoint.ts';
import { callerEnvironment } from '../model/environment.ts';
import { formatLogin, type Host } from '../model/host.ts';
import type { SecretKind } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';
import type { StatusDocument } from '../model/status.ts';
import { hintFor } from '../model/tunnel-hints.ts';
import type { ResolvedConfig, Tunnel } from '../model/tunnel.ts';
import { version } from '../model/version.ts';
import { count } from '../render/units.ts';
import {
  gatherKeys,
  isProblem,
  readCertificateFile,
  readKeyFile,
  type KeyRing,
} from '../ssh/auth/key-files.ts';
import { nativeCrypto } from '../ssh/ssh2/parts.ts';
import { parseKnownHosts } from '../trust/known-hosts.ts';
import { readKnownHostsFile } from '../trust/store.ts';
import type { Context } from './context.ts';
import { keychainEntries } from './keychain-entries.ts';
import { nativePartHint, withoutNativePart } from './launch.ts';
import { serviceOf } from './service.ts';
import { ask, locateTarget, type Target } from './supervisor.ts';

export interface Check {
  /** What was looked at; several faults of one thing are several checks of one name. */
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  /** What to do; null where nothing has to be done. */
  readonly hint: Hint | null;
  /** Of a failure: decides the exit code. */
  readonly code: ErrorCode | null;
}

const ok = (name: string, detail: string): Check => ({
  name,
  status: 'ok',
  detail: cleanText(detail),
  hint: null,
  code: null,
});

const warning = (name: string, detail: string, hint: Hint | null): Check => ({
  ...ok(name, detail),
  status: 'warning',
  hint,
});

const failed = (name: string, error: { code: ErrorCode; message: string; hint: Hint | null }): Check => ({
  ...ok(name, error.message),
  status: 'failed',
  hint: error.hint,
  code: error.code,
});

/** The faults, or one line that says that there are none. */
const orOk = (faults: readonly Check[], name: string, detail: string): readonly Check[] =>
  faults.length > 0 ? faults : [ok(name, detail)];

/** Never fails for what it finds. */
export async function examine(context: Context): Promise<readonly Check[]> {
  const { checks, config, found } = await examineConfig(context);
  const tunnels = config?.tunnels ?? [];
  const uses = usesOf(tunnels);
  const target = targetOf(context);
  const supervisor = await examineSupervisor(target);
  const logins = config === null ? [] : await examineLogins(context, uses);
  return [
    ...checks,
    ...(await examineKnownHosts(context, uses)),
    ...logins,
    ...(config === null ? [] : await examineClock(context, uses)),
    ...(found === null || config === null ? [] : await examineKeychain(context, found, uses)),
    ...(config === null || !supervisor.answers ? [] : await examinePorts(tunnels, supervisor.status)),
    ...examineFolders(context, target),
    ...supervisor.checks,
    examineService(context, target),
    await examineSsh(context),
    nativeCrypto()
      ? ok('native crypto', 'the native part of ssh2 is built')
      : warning('native crypto', withoutNativePart, nativePartHint()),
  ];
}

/** A host with a tunnel that goes by it. */
interface Use {
  readonly host: Host;
  readonly tunnel: Tunnel;
}

/** Each host once, by all that it is. */
function usesOf(tunnels: readonly Tunnel[]): readonly Use[] {
  const uses = new Map<string, Use>();
  for (const tunnel of tunnels)
    for (const host of tunnel.ways.flat()) {
      const key = JSON.stringify(host);
      if (!uses.has(key)) uses.set(key, { host, tunnel });
    }
  return [...uses.values()];
}

interface ConfigLook {
  readonly checks: readonly Check[];
  /** Null: it cannot be used, and nothing that it names was touched. */
  readonly config: ResolvedConfig | null;
  readonly found: FoundConfig | null;
}

async function examineConfig({ facts, places, options }: Context): Promise<ConfigLook> {
  try {
    const found = findConfig(places, facts, options.config);
    const config = await loadConfig(found.path, facts, found.project ? { allowedIn: places.stateDir } : {});
    const guarded = facts.platform === 'win32' ? '' : '; nobody else may write it';
    const detail = `${shortPath(found.path, facts)}: ${count(config.tunnels.length, 'tunnel')}${guarded}`;
    const warnings = config.warnings.map((each) => warning('config', each, { command: 'show' }));
    const editor = editorSchemaProblem(found.path);
    if (editor !== null) warnings.push(warning('config', editor, { command: 'schema --write' }));
    return { checks: [ok('config', detail), ...warnings], config, found };
  } catch (thrown) {
    if (!(thrown instanceof ConfigError))
      return { checks: [failed('config', asTunnelError(thrown))], config: null, found: null };
    const checks = thrown.issues.map((issue) =>
      failed('config', {
        code: 'CONFIG_INVALID',
        message: formatIssue(issue),
        hint: issue.hint ?? { command: 'check' },
      }),
    );
    return { checks, config: null, found: null };
  }
}

/** Our own store, then the files of OpenSSH that each host names. */
async function examineKnownHosts(
  { facts, places }: Context,
  uses: readonly Use[],
): Promise<readonly Check[]> {
  const uid = facts.platform === 'win32' ? null : facts.uid;
  const paths = new Set([places.knownHosts, ...uses.flatMap(({ host }) => host.knownHosts)]);
  const faults: Check[] = [];
  let keys = 0;
  let files = 0;
  for (const path of paths) {
    try {
      const text = await readKnownHostsFile(path, path === places.knownHosts ? 'strict' : 'any', uid);
      const { entries, skipped } = parseKnownHosts(text, path);
      keys += entries.length;
      if (text !== '') files += 1;
      for (const { line, reason } of skipped) {
        const place = `${shortPath(path, facts)}:${line}`;
        const hint = `sed -n ${line}p ${shellWord(path)}    # mend that line, or remove it`;
        faults.push(warning('known_hosts', `${place} is passed over: ${reason}`, hint));
      }
    } catch (thrown) {
      faults.push(failed('known_hosts', asTunnelError(thrown)));
    }
  }
  return orOk(faults, 'known_hosts', `${count(keys, 'key')} in ${count(files, 'file')}`);
}

/** Nothing is written down here of what was accepted. */
const nothingProven = { has: () => false, add: () => undefined, written: () => Promise.resolve() };

/** Key files, certificates beside them and agents, as a login would gather them. */
async function examineLogins({ facts }: Context, uses: readonly Use[]): Promise<readonly Check[]> {
  const environment = callerEnvironment(facts.env);
  const uid = facts.platform === 'win32' ? null : facts.uid;
  const parts = { proven: nothingProven, clock: systemClock, uid };
  const faults = new Map<string, Check>();
  const agents = new Set<string>();
  let files = 0;
  for (const use of uses) {
    const ring = await gatherKeys(use.host, environment, parts);
    ring.agent?.close();
    if (ring.agent !== null) agents.add(ring.agent.path);
    files += ring.offers.files.length;
    for (const check of obstaclesOf(ring, use)) {
      const known = faults.get(check.detail);
      if (known === undefined || known.status === 'warning') faults.set(check.detail, check);
    }
  }
  const of = (name: string): Check[] => [...faults.values()].filter((check) => check.name === name);
  const none = 'none is in use: $SSH_AUTH_SOCK is not set, or no host asks one';
  return [
    ...orOk(
      of('keys'),
      'keys',
      files === 0 ? 'no host uses a key file' : 'each key file in use can be read, by you alone',
    ),
    ...orOk(of('agent'), 'agent', agents.size === 0 ? none : `${[...agents].join(', ')} answers`),
  ];
}

/** What stands in the way of every key is a failure; what leaves other keys to try is a warning. */
function obstaclesOf({ offers, obstacles }: KeyRing, { host, tunnel }: Use): readonly Check[] {
  const keyless = offers.agent.length === 0 && offers.files.length === 0;
  return obstacles.map(({ code, why, hint, decisive }) => {
    const name = code === 'AGENT_DOWN' ? 'agent' : 'keys';
    const socket =
      code === 'AGENT_DOWN' && host.agent.from === 'socket'
        ? `ls -l ${shellWord(host.agent.path)}    # start the agent that listens there, or mend agent: of ${host.name}`
        : null;
    const help =
      hint === null ? (socket ?? { command: 'why', on: { tunnel: tunnel.name } }) : hintFor(hint, tunnel);
    const detail = `${why} (host ${host.name})`;
    return decisive || keyless
      ? failed(name, { code, message: detail, hint: help })
      : warning(name, detail, help);
  });
}

/** What is known of the time without a network: a certificate from the future says that the clock is behind. */
async function examineClock({ facts, now }: Context, uses: readonly Use[]): Promise<readonly Check[]> {
  const uid = facts.platform === 'win32' ? null : facts.uid;
  const found = new Map<string, { readonly certificate: Certificate; readonly path: string }>();
  const add = (path: string, certificates: readonly Certificate[]): void => {
    for (const certificate of certificates)
      found.set(certificate.signature.toString('base64'), { certificate, path });
  };
  for (const path of new Set(uses.flatMap(({ host }) => host.identities))) {
    const file = await readKeyFile(path, uid);
    if (!isProblem(file)) add(path, file.certificates);
  }
  for (const path of new Set(uses.flatMap(({ host }) => host.certificates))) {
    const read = await readCertificateFile(path);
    if (!('why' in read)) add(path, read);
  }
  const nowMs = now();
  const faults = [...found.values()].flatMap(({ certificate, path }) => {
    const validity = validityAt(certificate, nowMs);
    const which = `the certificate ${certificateWords(certificate)} of ${shortPath(path, facts)}`;
    if (validity === 'not-yet') {
      const detail = `${which} is valid from ${formatTime(certificate.validAfter)}: is the clock behind?`;
      return [warning('clock', detail, 'date -u    # compare with another clock')];
    }
    if (validity === 'valid') return [];
    const detail = `${which} expired ${formatTime(certificate.validBefore)}`;
    return [warning('clock', detail, 'date -u    # if that is right, have a new certificate signed')];
  });
  const detail =
    found.size === 0
      ? 'no certificate to hold it against'
      : `it agrees with ${count(found.size, 'certificate')}`;
  return orOk(faults, 'clock', detail);
}

/** Somebody who must unlock it is told so; nobody is waited for. */
const keychainLimitMs = 5_000;

/** Asked only for entries that the config names: a keychain may put a window before its person. */
async function examineKeychain(
  context: Context,
  { project }: FoundConfig,
  uses: readonly Use[],
): Promise<readonly Check[]> {
  const kinds = ['password', 'totp'] as const;
  const wanted = uses.flatMap(({ host }) =>
    kinds
      .filter((kind: SecretKind) => host[kind]?.from === 'keychain')
      .map((kind) => ({ name: host.name, kind, endpoint: formatLogin(host) })),
  );
  if (wanted.length === 0) return [ok('keychain', 'no password or one-time code is kept in it')];
  const entries = keychainEntries(context, keychainLimitMs);
  const faults: Check[] = [];
  for (const entry of wanted) {
    try {
      await entries.read(entry, { onlyOurs: project });
    } catch (thrown) {
      faults.push(failed('keychain', asTunnelError(thrown)));
    }
  }
  return orOk(faults, 'keychain', `${wanted.length} of ${wanted.length} secrets found`);
}

/** `status`: null where no supervisor runs. Ports that it has bound are its own. */
async function examinePorts(
  tunnels: readonly Tunnel[],
  status: StatusDocument | null,
): Promise<readonly Check[]> {
  const isBound = (tunnel: Tunnel, index: number): boolean =>
    status?.tunnels.find(({ name }) => name === tunnel.name)?.forwards[index]?.bound === true;
  const here = tunnels.flatMap((tunnel) =>
    tunnel.forwards
      .map((forward, index) => ({ tunnel, forward, bound: isBound(tunnel, index) }))
      .filter(({ forward }) => forward.type !== 'remote'),
  );
  const ours = here.filter(({ bound }) => bound);
  const done: Endpoint[] = ours.map(({ forward }) => forward.listen);
  const faults: Check[] = [];
  let free = 0;
  for (const { tunnel, forward } of here) {
    if (done.some((each) => collide(each, forward.listen))) continue;
    done.push(forward.listen);
    const [finding] = await tryLocalPorts({ ...tunnel, forwards: [forward] });
    if (finding?.error == null) {
      free += 1;
      continue;
    }
    const { hint } = finding.error;
    faults.push(
      failed('ports', {
        ...finding.error,
        message: `${finding.error.message} (tunnel ${tunnel.name})`,
        hint: hint === null ? { command: 'why', on: { tunnel: tunnel.name } } : hintFor(hint, tunnel),
      }),
    );
  }
  return orOk(faults, 'ports', `${free} free, ${ours.length} bound by the supervisor`);
}

/** Null: no config, and no supervisor that ever served one. */
function targetOf(context: Context): Target | null {
  try {
    return locateTarget(context);
  } catch {
    return null; // the config is missing, which has its own line
  }
}

function examineFolders({ facts, places }: Context, target: Target | null): readonly Check[] {
  if (target === null) return [];
  const { supervisor } = target;
  const folders = [...stateFolders(places, supervisor), [places.runtimeDir, 'private'] as const];
  const faults = folders.flatMap(([path, rule]) => checkOwnFolder(path, facts, rule) ?? []);
  if (faults.length === 0 && !canBeWritten(supervisor.folder)) faults.push(readOnlyState(supervisor));
  return orOk(
    faults.map((error) => failed('folders', error)),
    'folders',
    `${shortPath(places.stateDir, facts)} and what is in it is yours alone`,
  );
}

interface SupervisorLook {
  readonly checks: readonly Check[];
  /** False: one runs, and what it has bound cannot be known. */
  readonly answers: boolean;
  readonly status: StatusDocument | null;
}

async function examineSupervisor(target: Target | null): Promise<SupervisorLook> {
  try {
    const status = target === null ? null : await ask(target, 'status', { selectors: [] });
    const check =
      status === null
        ? ok('supervisor', 'none runs; tunnel up starts one')
        : await judgeSupervisor(status.supervisor);
    return { checks: [check], answers: true, status };
  } catch (thrown) {
    return { checks: [failed('supervisor', asTunnelError(thrown))], answers: false, status: null };
  }
}

async function judgeSupervisor(running: StatusDocument['supervisor']): Promise<Check> {
  const { pid, version: its } = running;
  if (its === version || pid === null)
    return ok('supervisor', `pid ${pid} runs, of this version, ${version}`);
  const detail = `pid ${pid} is of version ${its}, this command of ${version}`;
  return warning('supervisor', detail, await replacing(pid));
}

/** Asks no service manager: what is wrong with a service is in its file. */
function examineService(context: Context, target: Target | null): Check {
  if (target === null || !['linux', 'darwin'].includes(context.facts.platform))
    return ok('service', 'none: a service needs a config, and systemd or launchd');
  for (const system of [false, true]) {
    const { state, lost, path } = serviceOf(context, target.path, system);
    const shown = shortPath(path, context.facts);
    const renew = { command: system ? 'service install --system' : 'service install' };
    if (lost[0] !== undefined) return warning('service', `${shown} names ${lost[0]}, which is gone`, renew);
    if (state === 'stale') return warning('service', `${shown} is not as it would be written now`, renew);
    if (state === 'current') return ok('service', `${shown} is as it should be`);
  }
  return ok('service', 'none is installed: tunnel service install runs the supervisor from login on');
}

const sshLimitMs = 5_000;

/** `ssh -V` reads no config and says its version on stderr. */
async function examineSsh({ facts }: Context): Promise<Check> {
  const run = await runProgram(['ssh', '-V'], {
    env: facts.env,
    deadlineMs: sshLimitMs,
    outputLimitBytes: 4096,
  });
  const [said = ''] = run.said.toString('utf8').split('\n');
  if (run.ending.how === 'exited' && run.ending.code === 0) return ok('ssh', `${said}: reads ssh_config`);
  if (run.ending.how === 'not-started')
    return ok('ssh', 'not installed: ssh_config is read by our own parser');
  return warning('ssh', `ssh -V did not end well: ${said || run.ending.how}`, 'ssh -V');
}
