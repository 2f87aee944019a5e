// The keys there are for a login: the agent that answers; private keys on disk, with the public half (.pub) and the
// certificate (-cert.pub) beside each, and who may read them; and what stands in the way.
import type { KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import { readForeignFile, UnreadableFile } from '../../files/foreign-file.ts';
import { openAgent, type Agent } from '../../keys/agent.ts';
import { AgentError, type AgentKey } from '../../keys/agent-messages.ts';
import { parseCertificate, type Certificate } from '../../keys/certificate.ts';
import { isCertificateType } from '../../keys/algorithms.ts';
import { outlineKey } from '../../keys/key-file.ts';
import { KeyError } from '../../keys/private-key.ts';
import { parsePublicLine, publicKeyFromBlob, type PublicKey } from '../../keys/public-key.ts';
import type { Clock } from '../../model/clock.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import type { CallerEnvironment } from '../../model/session.ts';
import { shellWord } from '../../model/shell-word.ts';
import type { Proven } from './kept.ts';
import { orderOffers, type Offers } from './offers.ts';
import type { Obstacle } from './refusals.ts';

/** The keys that one login may offer. */
export interface KeyRing {
  readonly offers: Offers;
  /** The agent that holds `offers.agent`; close it when the login is over. */
  readonly agent: Agent | null;
  readonly obstacles: readonly Obstacle[];
}

const windowsPipe = '\\\\.\\pipe\\openssh-ssh-agent';

/** Where an agent may be, best first. */
export function agentPaths(host: Host, environment: CallerEnvironment, windows: boolean): readonly string[] {
  switch (host.agent.from) {
    case 'none':
      return [];
    case 'socket':
      return [host.agent.path];
    case 'environment':
      return environment.agentSockets.length === 0 && windows ? [windowsPipe] : environment.agentSockets;
  }
}

interface RingParts {
  readonly proven: Proven;
  readonly clock: Clock;
  /** Ours; null where files have no modes. */
  readonly uid: number | null;
}

/** What kept keys from being offered stands in `obstacles`. */
export async function gatherKeys(
  host: Host,
  environment: CallerEnvironment,
  parts: RingParts,
): Promise<KeyRing> {
  if (!host.auth.includes('agent') && !host.auth.includes('publickey'))
    return { offers: { agent: [], files: [] }, agent: null, obstacles: [] };
  const shown = (path: string): string => shownPath(path, environment);
  const found = await Promise.all(host.identities.map((path) => readKeyFile(path, parts.uid)));
  const identities = found.filter((file) => !isProblem(file)) as KeyFile[];
  const certificates = await Promise.all(host.certificates.map(readCertificateFile));
  // an identity without its private half is a choice among the agent's keys
  const needsAgent = host.auth.includes('agent') || identities.some(({ secret }) => secret === null);
  const { reached, obstacle } = needsAgent ? await reachAgent(host, environment, parts) : noAgent;
  const login = formatLogin(host);
  const offers = orderOffers({
    identities,
    identitiesOnly: host.identitiesOnly,
    certificates: certificates.flatMap((read) => ('why' in read ? [] : read)),
    agentKeys: reached?.keys ?? [],
    proven: (credential) => parts.proven.has(login, credential),
    nowMs: parts.clock.now(),
    user: host.user,
    shown,
  });
  const obstacles = [
    ...found
      .filter(isProblem)
      .filter(({ absent }) => !absent || host.identitiesOnly) // not a default file that nobody made
      .map((problem) => unusable(problem, host, shown, host.identitiesOnly)),
    ...certificates.flatMap((read) => ('why' in read ? [unusable(read, host, shown, true)] : [])),
    ...(obstacle === null ? [] : [obstacle]),
    ...unselected(identities, reached?.keys ?? null, shown),
  ];
  return { offers, agent: reached?.agent ?? null, obstacles };
}

function unusable(
  problem: KeyFileProblem,
  { name }: Host,
  shown: (path: string) => string,
  decisive: boolean,
): Obstacle {
  const why = `${shown(problem.path)}: ${problem.why}`;
  // Trying again finds no file either: here is what there is to name instead.
  const hint = problem.absent
    ? `ls ${shellWord(shown(dirname(problem.path)))}    # then name one that is there, under host ${name}`
    : problem.hint;
  return { code: 'KEY_UNREADABLE', why, hint, question: null, decisive };
}

interface ReachedAgent {
  readonly agent: Agent;
  readonly keys: readonly AgentKey[];
}

interface AgentSearch {
  readonly reached: ReachedAgent | null;
  readonly obstacle: Obstacle | null;
}

const noAgent: AgentSearch = { reached: null, obstacle: null };

/** The first that answers: a terminal that is gone leaves a dead socket behind (SPEC 2). */
async function reachAgent(
  host: Host,
  environment: CallerEnvironment,
  { clock, uid }: RingParts,
): Promise<AgentSearch> {
  let why: string | null = null;
  for (const path of agentPaths(host, environment, uid === null)) {
    const result = await listAgent(path, clock);
    if (typeof result !== 'string') return { reached: result, obstacle: null };
    why ??= `the agent at ${path} is of no use: ${result}`;
  }
  if (why === null) return noAgent;
  const hint =
    host.agent.from === 'socket'
      ? null
      : [
          'start one and load a key: eval "$(ssh-agent)"; ssh-add; ',
          { command: 'up', on: { host: host.name } },
        ];
  return {
    reached: null,
    obstacle: { code: 'AGENT_DOWN', why, hint, question: null, decisive: false },
  };
}

async function listAgent(path: string, clock: Clock): Promise<ReachedAgent | string> {
  let agent: Agent | null = null;
  try {
    agent = await openAgent(path, clock);
    return { agent, keys: await agent.list() };
  } catch (error) {
    agent?.close();
    if (!(error instanceof AgentError)) throw error;
    return error.message;
  }
}

/** Named keys whose private half is nowhere to be found. `agentKeys` null: there is no agent. */
function unselected(
  identities: readonly KeyFile[],
  agentKeys: readonly AgentKey[] | null,
  shown: (path: string) => string,
): readonly Obstacle[] {
  return identities
    .filter(({ secret, publicKey }) => {
      if (secret !== null || publicKey === null) return false;
      return agentKeys?.some(({ blob }) => blob.equals(publicKey.blob)) !== true;
    })
    .map(({ path }) => ({
      code: 'KEY_UNREADABLE',
      why: `${shown(path)}: its private key is neither there nor in ${agentKeys === null ? 'an agent' : 'the agent'}`,
      hint: `ssh-add ${path.replace(/\.pub$/, '')}`,
      question: null,
      decisive: true,
    }));
}

/** A path as a person writes it: ~ for the home of whoever asked. */
export function shownPath(path: string, environment: CallerEnvironment): string {
  const home = environment.variables['HOME'] ?? '';
  return home.length > 1 && path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}

/** A file the user named as an identity, as it is now. */
export interface KeyFile {
  readonly path: string;
  /** Null for a `.pub`, or when only the public half is there: then an agent must have the key. */
  readonly secret: KeyFileSecret | null;
  /** Null while it is locked away. */
  readonly publicKey: PublicKey | null;
  readonly comment: string;
  /** What stands beside it as -cert.pub. */
  readonly certificates: readonly Certificate[];
}

export interface KeyFileSecret {
  /** For opening it; holds an encrypted key at most. */
  readonly text: string;
  /** The key, when no passphrase is needed. */
  readonly key: KeyObject | null;
  /** Changes when the file does. */
  readonly stamp: string;
}

/** Why an identity cannot be used. `why` ends a sentence. */
export interface KeyFileProblem {
  readonly path: string;
  readonly why: string;
  readonly hint: string | null;
  /** The file is not there at all: no fault of a default identity. */
  readonly absent: boolean;
}

interface ReadFile {
  readonly text: string;
  readonly stamp: string;
  readonly mode: number;
  readonly uid: number;
}

const longestFile = 1024 * 1024;

/** Null when it does not exist. Throws UnreadableFile. */
async function readSmall(path: string): Promise<ReadFile | null> {
  try {
    const { bytes, stats } = await readForeignFile(path, longestFile);
    const stamp = `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}`;
    return { text: bytes.toString('utf8'), stamp, mode: Number(stats.mode) & 0o7777, uid: Number(stats.uid) };
  } catch (thrown) {
    if (thrown instanceof UnreadableFile && (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR'))
      return null;
    throw thrown;
  }
}

/**
 * Reads an identity. `uid`: ours, null where files have no modes (Windows). As OpenSSH, a private key that is ours and
 * that others may read is not used; the mode of somebody else's does not matter.
 */
export async function readKeyFile(path: string, uid: number | null): Promise<KeyFile | KeyFileProblem> {
  try {
    if (path.endsWith('.pub')) return await readPublicOnly(path, path);
    const file = await readSmall(path);
    if (file === null) return await readPublicOnly(`${path}.pub`, path);
    if (uid !== null && file.uid === uid && (file.mode & 0o077) !== 0)
      return problem(
        path,
        `others may read it (mode ${file.mode.toString(8).padStart(4, '0')})`,
        `chmod 600 ${shellWord(path)}`,
      );
    return await readPrivate(path, file);
  } catch (error) {
    return problem(path, whyUnreadable(error), null);
  }
}

async function readPrivate(path: string, file: ReadFile): Promise<KeyFile | KeyFileProblem> {
  const line = parsePublicLine(file.text);
  if (line !== null) return publicFile(path, line); // a public key without its ending
  try {
    const outline = outlineKey(file.text);
    const beside = parsePublicLine((await readBeside(`${path}.pub`)) ?? '');
    // a .pub is only believed where the file itself does not tell
    const publicKey =
      outline.publicKey ?? (beside === null || isCertificateType(beside.type) ? null : beside);
    const outside = publicKey !== null && publicKey.type.startsWith('sk-');
    return {
      path,
      secret: outside ? null : { text: file.text, key: outline.key, stamp: file.stamp },
      publicKey: publicKey === null ? null : { type: publicKey.type, blob: publicKey.blob },
      comment: beside?.comment ?? '',
      certificates: await certificatesBeside(path),
    };
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return problem(path, error.message, hintFor(path, error));
  }
}

function hintFor(path: string, error: KeyError): string | null {
  if (error.message.startsWith('its encryption is too old')) return `ssh-keygen -p -f ${path}`;
  if (error.message.startsWith('PPK')) return `puttygen ${path} -O private-openssh -o ${path}.openssh`;
  return null;
}

async function readPublicOnly(file: string, path: string): Promise<KeyFile | KeyFileProblem> {
  const text = await readBeside(file);
  if (text === null) return { path, why: 'there is no such file', hint: null, absent: true };
  const line = parsePublicLine(text);
  if (line === null) return problem(path, 'it is not a public key file', null);
  const found = publicFile(path, line);
  if (found.certificates.length > 0) return found;
  return { ...found, certificates: await certificatesBeside(file.replace(/\.pub$/, '')) };
}

function publicFile(path: string, line: PublicKey & { readonly comment: string }): KeyFile {
  const certificate = isCertificateType(line.type) ? parseCertificate(line.blob) : null;
  const publicKey = certificate === null ? publicKeyFromBlob(line.blob) : certificate.key;
  return {
    path,
    secret: null,
    publicKey,
    comment: line.comment,
    certificates: certificate === null ? [] : [certificate],
  };
}

async function certificatesBeside(path: string): Promise<readonly Certificate[]> {
  const text = await readBeside(`${path}-cert.pub`);
  return text === null ? [] : parseCertificates(text);
}

/** The user certificates in a file's text, one a line. */
function parseCertificates(text: string): readonly Certificate[] {
  return text
    .split('\n')
    .map((line) => parsePublicLine(line))
    .map((line) => (line === null ? null : parseCertificate(line.blob)))
    .filter((certificate) => certificate?.use === 'user') as Certificate[];
}

/** A CertificateFile: its certificates, or why there are none. */
export async function readCertificateFile(path: string): Promise<readonly Certificate[] | KeyFileProblem> {
  try {
    const text = await readBeside(path);
    if (text === null) return { path, why: 'there is no such file', hint: null, absent: true };
    const found = parseCertificates(text);
    return found.length > 0 ? found : problem(path, 'it holds no user certificate', null);
  } catch (error) {
    return problem(path, whyUnreadable(error), null);
  }
}

export function isCertificateList(
  read: readonly Certificate[] | KeyFileProblem,
): read is readonly Certificate[] {
  return !('why' in read);
}

async function readBeside(path: string): Promise<string | null> {
  return (await readSmall(path))?.text ?? null;
}

function problem(path: string, why: string, hint: string | null): KeyFileProblem {
  return { path, why, hint, absent: false };
}

/** What is no fault of the file, a shortage of this process, is thrown on. */
function whyUnreadable(error: unknown): string {
  if (error instanceof KeyError) return error.message;
  if (!(error instanceof UnreadableFile)) throw error;
  return error.code === 'EACCES' || error.code === 'EPERM' ? 'we may not read it' : error.message;
}

export function isProblem(found: KeyFile | KeyFileProblem): found is KeyFileProblem {
  return 'why' in found;
}
