// Why a login failed: the error that its notes come to, and whether a refused key may be accepted again. When such a key is tried
// again is decided in supervisor/blocked.
import { TunnelError, type ErrorCode, type Hint, type HintCommand } from '../../errors.ts';
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
  /** There is no key to offer, on disk or in an agent. */
  | 'no-key'
  /** No agent answers, or none is to be asked. */
  | 'no-agent'
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
  const { why, hint } = told(obstacle, notes, host);
  return new TunnelError(obstacle.code, `login failed, on ${on}: ${why}`, {
    hint,
    facts: { layer: 'auth', proven, ...questionFacts(obstacle, host) },
  });
}

/** A server's question is often the last resort of one that refused the key, or was shown none: that is told first then. */
function told(obstacle: Obstacle, notes: Notes, host: Host): { why: string; hint: Hint } {
  const hint = obstacle.hint ?? { command: 'up', on: { host: host.name } };
  const before = obstacle.question?.kind === 'prompt' ? keyTrouble(notes, host) : null;
  if (before !== null)
    return {
      why: `${before.why}; ${obstacle.why}`,
      hint: before.hint === null ? hint : [...partsOf(before.hint), '\n', ...partsOf(hint)],
    };
  const also = notes.refused.length === 0 ? '' : `; refused: ${counted(notes.refused)}`;
  return { why: `${obstacle.why}${also}`, hint };
}

function partsOf(hint: Hint): readonly (string | HintCommand)[] {
  if (typeof hint === 'string') return [hint];
  if ('meant' in hint) return [`did you mean ${hint.meant}?`];
  return 'command' in hint ? [hint] : hint;
}

/** What there is to mend about the keys of a login to which no key got through; null when that is nothing. */
function keyTrouble(notes: Notes, host: Host): { why: string; hint: Hint | null } | null {
  if (notes.accepted.length > 0 || !takes(notes, 'publickey')) return null;
  const unread = notes.obstacles.filter(
    ({ code, question, decisive }) => code === 'KEY_UNREADABLE' && question === null && decisive,
  );
  const whys = [...new Set(unread.map(({ why }) => why))];
  if (notes.refused.some(isKey))
    return {
      why: [...whys, `refused: ${counted(notes.refused)}`].join('; '),
      hint: unread[0]?.hint ?? refusalHint(notes, host),
    };
  if (unread.length > 0) return { why: whys.join('; '), hint: unread[0]?.hint ?? null };
  if (!notes.marks.has('no-key')) return null;
  const down = notes.obstacles.find(({ code }) => code === 'AGENT_DOWN');
  if (down !== undefined) return { why: `no key was found, and ${down.why}`, hint: down.hint };
  return { why: noKeyWords(notes), hint: loadHint(notes, host) };
}

function noKeyWords({ marks }: Notes): string {
  return marks.has('no-agent')
    ? 'no key was found, and no agent answers'
    : 'no key was found, and the agent has none to offer';
}

/** Each once, with how often. */
function counted(words: readonly string[]): string {
  const times = new Map<string, number>();
  for (const each of words) times.set(each, (times.get(each) ?? 0) + 1);
  return [...times].map(([each, count]) => (count === 1 ? each : `${each} (${count} times)`)).join(', ');
}

const isKey = (words: string): boolean => / (?:SHA256:|\()/.test(words);

const takes = ({ methods: taken }: Notes, method: string): boolean =>
  taken === null || taken.includes(method);

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
  if (notes.refused.length > 0) parts.push(`offered ${counted(notes.refused)}`);
  else if (notes.accepted.length === 0) parts.push('there was nothing to offer');
  // Who typed a password that was wrong has no want of a key.
  const keyless =
    notes.marks.has('no-key') && !notes.marks.has('secret-refused') && notes.accepted.length === 0;
  if (keyless && notes.methods !== null && takes(notes, 'publickey')) parts.unshift(noKeyWords(notes));
  const remarks = [...notes.remarks, ...notes.obstacles.map(({ why }) => why)];
  if (remarks.length > 0) parts.push([...new Set(remarks)].join(', '));
  if (notes.methods !== null) parts.push(`the server takes ${notes.methods.join(',') || 'nothing'}`);
  return { why: parts.join('; '), hint: refusalHint(notes, host) };
}

function refusalHint(notes: Notes, host: Host): Hint {
  const keys = notes.refused.filter(isKey);
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
  if (notes.marks.has('unsigned') && takes(notes, 'publickey'))
    return {
      command: 'up',
      on: { host: host.name },
      note: 'and let the agent sign: it may ask in a window of its own, or want a touch',
    };
  if (notes.marks.has('sha1-only'))
    return `${sha1Line}    # under host ${host.name}; weak, for servers that know no better`;
  if (keys.length > 0 && takes(notes, 'publickey')) {
    const [file] = notes.refusedFiles;
    const copy = `ssh-copy-id${file === undefined ? '' : ` -i ${file}`} -p ${host.port} ${host.user}@${host.hostname}`;
    return notes.marks.has('sha1-likely')
      ? `${sha1Line}    # under host ${host.name}, if that server is too old for SHA-2; else: ${copy}`
      : `is the key in ${host.user}'s authorized_keys there? ${copy}`;
  }
  if (keys.length === 0 && notes.methods !== null && notes.methods.length > 0)
    return methodHint(notes, host) ?? { command: 'why', on: { host: host.name } };
  return [`check user and credentials of host ${host.name}: `, { command: 'why', on: { host: host.name } }];
}

const sha1Line = 'pubkey_algorithms: +ssh-rsa';

/** `ssh-add` alone fails where no agent runs. */
function loadHint({ marks }: Notes, { name }: Host): string {
  const start = marks.has('no-agent') ? 'eval "$(ssh-agent)" && ' : '';
  return `${start}ssh-add ~/.ssh/id_…    # your key's file; or name it under host ${name}: identity: [~/.ssh/id_…]`;
}

/** Nothing of what the server takes was tried: what would have to be there for that. */
function methodHint(notes: Notes, host: Host): string | null {
  const taken = notes.methods ?? [];
  const configured = host.auth.map((name) => methods[name].wire);
  if (taken.includes('publickey') && configured.includes('publickey')) return loadHint(notes, host);
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
