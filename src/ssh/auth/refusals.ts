// Why a login failed: the error that its notes come to, and whether a refused key may be accepted again. When such a key is tried
// again is decided in supervisor/blocked.
import { TunnelError, type ErrorCode, type Hint } from '../../errors.ts';
import { formatHopLogin, formatLogin, type Host } from '../../model/host.ts';
import type { QuestionKind } from '../../model/question.ts';
import { methods, wireNames } from './methods.ts';
import { refusalOfKey, type Offer } from './offers.ts';

/** Something that kept a credential from being used. */
export interface Obstacle {
  readonly code: Extract<ErrorCode, 'KEY_UNREADABLE' | 'SECRET_MISSING' | 'AGENT_DOWN'>;
  /** Ends the sentence "login failed, on …:". */
  readonly why: string;
  readonly hint: Hint | null;
  /** The question a person would have to answer; null when none would help. */
  readonly question: { readonly kind: QuestionKind; readonly text: string } | null;
  /** False: worth a word, but not what the login failed for when other credentials were refused. */
  readonly decisive: boolean;
}

/** What one login offered, what the server said, what stood in the way. */
export interface Notes {
  readonly accepted: string[];
  readonly refused: string[];
  readonly obstacles: Obstacle[];
  /** Words about credentials that could not be offered, for `why`. */
  readonly remarks: string[];
  /** What the server takes, as the server last said; null when it never did. */
  methods: readonly string[] | null;
  /** What the server said first, before any method was done. */
  firstMethods: readonly string[] | null;
  /** Files of refused keys, as a shell takes them. */
  readonly refusedFiles: string[];
  readonly marks: Set<Mark>;
}

/** A fact of a login that decides what its error says. */
export type Mark =
  /** A person typed what is not kept. */
  | 'typed-code'
  /** A password or an answer was refused: the trouble is with what was said, not with an agent. */
  | 'secret-refused'
  /** A code from a totp: source was among what was refused. */
  | 'code-refused'
  /** An RSA key could sign with SHA-1 only. */
  | 'sha1-only'
  /** An RSA key was refused by a server that does not say that it knows more than SHA-1. */
  | 'sha1-likely'
  /** An agent has a key that the server wants, and did not sign with it. */
  | 'unsigned'
  /** The server hung up while there was more to offer. */
  | 'hung-up';

export function startNotes(): Notes {
  return {
    accepted: [],
    refused: [],
    obstacles: [],
    remarks: [],
    methods: null,
    firstMethods: null,
    refusedFiles: [],
    marks: new Set(),
  };
}

/** What an earlier login was refused is part of why this one fails, though it is not offered again. How much it was. */
export function recall(notes: Notes, before: Notes): number {
  for (const mark of ['secret-refused', 'sha1-only', 'sha1-likely'] as const)
    if (before.marks.has(mark)) notes.marks.add(mark);
  notes.refusedFiles.push(...before.refusedFiles);
  return notes.refused.push(...before.refused);
}

/**
 * Why a login failed: the cause a person can act on first. Holds no secret. `proven`: a key that has logged in there
 * before may be accepted again.
 */
export function loginFailure(notes: Notes, host: Host, proven = false): TunnelError {
  const obstacle = chooseObstacle(notes);
  const on = formatHopLogin(host);
  if (obstacle === null) {
    const { hint, why } = refusal(notes, host);
    return new TunnelError('AUTH_REFUSED', `authentication failed, on ${on}: ${why}`, {
      hint,
      facts: { layer: 'auth', proven, offered: [...notes.refused], takes: [...(notes.methods ?? [])] },
    });
  }
  const also = notes.refused.length === 0 ? '' : `; refused: ${notes.refused.join(', ')}`;
  return new TunnelError(obstacle.code, `login failed, on ${on}: ${obstacle.why}${also}`, {
    hint: obstacle.hint ?? { command: 'up', on: { host: host.name } },
    facts: { layer: 'auth', proven, ...questionFacts(obstacle, host) },
  });
}

function questionFacts(obstacle: Obstacle, host: Host): Record<string, string | boolean | null> {
  const { question } = obstacle;
  if (question === null) return {};
  return {
    question: question.kind,
    text: question.text,
    host: host.name,
    endpoint: formatLogin(host),
    echo: false,
    fingerprint: null,
  };
}

/** A question nobody was there to answer comes first, then a key the user named, then an agent that is down. */
function chooseObstacle(notes: Notes): Obstacle | null {
  const asked = notes.obstacles.find(({ question }) => question !== null);
  if (asked !== undefined) return asked;
  if (notes.marks.has('secret-refused')) return null;
  const untouched = notes.refused.length === 0;
  const other = notes.obstacles.find(
    ({ code, decisive }) => code !== 'AGENT_DOWN' && (decisive || untouched),
  );
  if (other !== undefined) return other;
  return notes.obstacles.find(({ code }) => code === 'AGENT_DOWN') ?? null;
}

function refusal(notes: Notes, host: Host): { why: string; hint: Hint } {
  const parts: string[] = [];
  if (notes.accepted.length > 0) parts.push(`the server took ${notes.accepted.join(', ')} and wants more`);
  if (notes.refused.length > 0) parts.push(`offered ${notes.refused.join(', ')}`);
  else if (notes.accepted.length === 0) parts.push('there was nothing to offer');
  const remarks = [...notes.remarks, ...notes.obstacles.map(({ why }) => why)];
  if (remarks.length > 0) parts.push([...new Set(remarks)].join(', '));
  if (notes.methods !== null) parts.push(`the server takes ${notes.methods.join(',') || 'nothing'}`);
  return { why: parts.join('; '), hint: refusalHint(notes, host) };
}

function refusalHint(notes: Notes, host: Host): Hint {
  const keys = notes.refused.filter((words) => / (?:SHA256:|\()/.test(words));
  const takes = (method: string): boolean => notes.methods === null || notes.methods.includes(method);
  if (keys.length > 2 && notes.marks.has('hung-up'))
    return `name the right key, so that no other is offered: identity: [~/.ssh/id_…] under host ${host.name}`;
  if (notes.marks.has('code-refused'))
    return `date -u    # codes are made from this machine's clock; if it is right, is totp: of host ${host.name} the seed of this account?`;
  if (notes.marks.has('secret-refused'))
    return [
      { command: 'up', on: { host: host.name } },
      ' on a terminal asks again; ',
      { command: 'secret set', on: { host: host.name }, flags: 'password' },
      ' replaces a stored one',
    ];
  if (notes.marks.has('unsigned') && takes('publickey'))
    return {
      command: 'up',
      on: { host: host.name },
      note: 'and let the agent sign: it may ask in a window of its own, or want a touch',
    };
  if (notes.marks.has('sha1-only'))
    return `${sha1Line}    # under host ${host.name}; weak, for servers that know no better`;
  if (keys.length > 0 && takes('publickey')) {
    const [file] = notes.refusedFiles;
    const copy = `ssh-copy-id${file === undefined ? '' : ` -i ${file}`} -p ${host.port} ${host.user}@${host.hostname}`;
    return notes.marks.has('sha1-likely')
      ? `${sha1Line}    # under host ${host.name}, if that server is too old for SHA-2; else: ${copy}`
      : `is the key in ${host.user}'s authorized_keys there? ${copy}`;
  }
  if (keys.length === 0 && notes.methods !== null && notes.methods.length > 0)
    return methodHint(notes.methods, host) ?? { command: 'why', on: { host: host.name } };
  return [`check user and credentials of host ${host.name}: `, { command: 'why', on: { host: host.name } }];
}

const sha1Line = 'pubkey_algorithms: +ssh-rsa';

/** Nothing of what the server takes was tried: what would have to be there for that. */
function methodHint(taken: readonly string[], host: Host): string | null {
  const configured = host.auth.map((name) => methods[name].wire);
  if (taken.includes('publickey') && configured.includes('publickey'))
    return `load a key (ssh-add), or name one: identity: [~/.ssh/id_…] under host ${host.name}`;
  const allowed = taken.filter((method) => wireNames.includes(method) && !configured.includes(method));
  if (allowed.length > 0) return `allow it under host ${host.name}: auth: [${allowed.join(', ')}]`;
  if (!taken.some((method) => wireNames.includes(method)))
    return `the server takes only ${taken.join(' or ')}, which tunnel does not do; ask its administrator for publickey`;
  return null;
}

/**
 * A key or certificate that has logged in there before was refused, or not come to: it may be accepted again (SPEC 3).
 * One that the server took, and that something else was missing after, is not in question.
 */
export function mayBeAcceptedAgain(
  offers: readonly Offer[],
  notes: Notes,
  isProven: (offer: Offer) => boolean,
  refused: ReadonlySet<string> | undefined,
): boolean {
  const unwanted = notes.methods?.includes('publickey') === false && notes.accepted.length === 0;
  return offers.some(
    (offer) =>
      isProven(offer) &&
      (notes.refused.includes(offer.words) ||
        (offer.wire !== null && refused?.has(refusalOfKey(offer.wire.blob)) === true) ||
        ((notes.marks.has('hung-up') || unwanted) && !notes.accepted.includes(offer.words))),
  );
}
