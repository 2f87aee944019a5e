// The key ring of one login: the agent that answers, the key files and certificates there are, and what stands in the way.
import { dirname } from 'node:path';
import type { CallerEnvironment } from '../../model/session.ts';
import type { Clock } from '../../model/clock.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { shellWord } from '../../model/shell-word.ts';
import { openAgent, AgentError, type Agent, type AgentKey } from '../../keys/agent.ts';
import type { Certificate } from '../../keys/certificate.ts';
import {
  isProblem,
  readCertificateFile,
  readKeyFile,
  type KeyFile,
  type KeyFileProblem,
} from './key-files.ts';
import type { Obstacle } from './login-notes.ts';
import { shownPath } from './login-scene.ts';
import { orderOffers, type Offers } from './offers.ts';
import type { Proven } from './proven.ts';

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

export async function gatherKeys(
  host: Host,
  environment: CallerEnvironment,
  parts: { readonly proven: Proven; readonly clock: Clock; readonly uid: number | null },
): Promise<KeyRing> {
  const obstacles: Obstacle[] = [];
  const shown = (path: string): string => shownPath(path, environment);
  const wantsKeys = host.auth.includes('agent') || host.auth.includes('publickey');
  const found = wantsKeys
    ? await Promise.all(host.identities.map((path) => readKeyFile(path, parts.uid)))
    : [];
  const identities = found.filter((file) => !isProblem(file)) as KeyFile[];
  for (const problem of found.filter(isProblem)) {
    if (problem.absent && !host.identitiesOnly) continue; // a default file that nobody made
    obstacles.push(unusable(problem, shown, host, host.identitiesOnly));
  }
  const certificates = await readCertificates(host, wantsKeys, obstacles, shown);
  // an identity without its private half is a choice among the agent's keys
  const needsAgent = host.auth.includes('agent') || identities.some(({ secret }) => secret === null);
  const reached = wantsKeys && needsAgent ? await reachAgent(host, environment, parts, obstacles) : null;
  const login = formatLogin(host);
  const offers = orderOffers({
    identities,
    identitiesOnly: host.identitiesOnly,
    certificates,
    agentKeys: reached?.keys ?? [],
    proven: (credential) => parts.proven.has(login, credential),
    nowMs: parts.clock.now(),
    user: host.user,
    shown,
  });
  noteUnselected(identities, reached, obstacles, shown);
  return { offers, agent: reached?.agent ?? null, obstacles };
}

function unusable(
  problem: KeyFileProblem,
  shown: (path: string) => string,
  { name }: Host,
  decisive: boolean,
): Obstacle {
  const why = `${shown(problem.path)}: ${problem.why}`;
  // Trying again finds no file either: here is what there is to name instead.
  const hint = problem.absent
    ? `ls ${shellWord(shown(dirname(problem.path)))}    # then name one that is there, under host ${name}`
    : problem.hint;
  return { code: 'KEY_UNREADABLE', why, hint, question: null, decisive };
}

async function readCertificates(
  host: Host,
  wanted: boolean,
  obstacles: Obstacle[],
  shown: (path: string) => string,
): Promise<readonly Certificate[]> {
  const read = wanted ? await Promise.all(host.certificates.map(readCertificateFile)) : [];
  const certificates: Certificate[] = [];
  for (const result of read) {
    if ('why' in result) obstacles.push(unusable(result, shown, host, true));
    else certificates.push(...result);
  }
  return certificates;
}

interface ReachedAgent {
  readonly agent: Agent;
  readonly keys: readonly AgentKey[];
}

/** The first that answers: a terminal that is gone leaves a dead socket behind (SPEC 2). */
async function reachAgent(
  host: Host,
  environment: CallerEnvironment,
  parts: { readonly clock: Clock; readonly uid: number | null },
  obstacles: Obstacle[],
): Promise<ReachedAgent | null> {
  let why: string | null = null;
  for (const path of agentPaths(host, environment, parts.uid === null)) {
    const result = await listAgent(path, parts.clock);
    if (typeof result !== 'string') return result;
    why ??= `the agent at ${path} is of no use: ${result}`;
  }
  if (why !== null) {
    const hint =
      host.agent.from === 'socket'
        ? null
        : [
            'start one and load a key: eval "$(ssh-agent)"; ssh-add; ',
            { command: 'up', on: { host: host.name } },
          ];
    obstacles.push({ code: 'AGENT_DOWN', why, hint, question: null, decisive: false });
  }
  return null;
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

/** A named key whose private half is nowhere to be found. */
function noteUnselected(
  identities: readonly KeyFile[],
  reached: ReachedAgent | null,
  obstacles: Obstacle[],
  shown: (path: string) => string,
): void {
  for (const { path, secret, publicKey } of identities) {
    if (secret !== null || publicKey === null) continue;
    if (reached?.keys.some(({ blob }) => blob.equals(publicKey.blob)) === true) continue;
    const why = `${shown(path)}: its private key is neither there nor in ${reached === null ? 'an agent' : 'the agent'}`;
    obstacles.push({
      code: 'KEY_UNREADABLE',
      why,
      hint: `ssh-add ${path.replace(/\.pub$/, '')}`,
      question: null,
      decisive: true,
    });
  }
}
