// Login notes: what one login offered, what the server said, what stood in the way; and the error or record made of it.
import { TunnelError, type ErrorCode, type Hint } from '../../errors.ts';
import { formatHopLogin, formatLogin, type Host } from '../../model/host.ts';
import type { QuestionKind } from '../../model/question.ts';
import type { LoginRecord } from '../../model/session.ts';

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

export interface Notes {
  readonly accepted: string[];
  readonly refused: string[];
  readonly obstacles: Obstacle[];
  /** Words about credentials that could not be offered, for `why`. */
  readonly remarks: string[];
  /** What the server takes, as it last said; null when it never said. */
  methods: readonly string[] | null;
  /** What it said first, before any method was done. */
  firstMethods: readonly string[] | null;
  /** A person typed what is not kept. */
  typedCode: boolean;
  /** A password or an answer was refused: the trouble is with what was said, not with an agent. */
  secretRefused: boolean;
  /** A code from a totp: source was among what was refused. */
  codeRefused: boolean;
  /** Files of refused keys, as a shell takes them. */
  readonly refusedFiles: string[];
  /** An RSA key could sign with SHA-1 only, or was refused by a server that does not say that it knows more. */
  sha1: 'only' | 'likely' | null;
  /** An agent has a key that the server wants, and did not sign with it. */
  unsigned: boolean;
  /** The server hung up while there was more to offer. */
  hungUp: boolean;
}

export function startNotes(): Notes {
  return {
    accepted: [],
    refused: [],
    obstacles: [],
    remarks: [],
    methods: null,
    firstMethods: null,
    typedCode: false,
    secretRefused: false,
    codeRefused: false,
    refusedFiles: [],
    sha1: null,
    unsigned: false,
    hungUp: false,
  };
}

export function recordOf(notes: Notes, host: Host): LoginRecord {
  return { accepted: [...notes.accepted], attended: host.attended ?? notes.typedCode };
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
  if (notes.secretRefused) return null;
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
  if (keys.length > 2 && notes.hungUp)
    return `name the right key, so that no other is offered: identity: [~/.ssh/id_…] under host ${host.name}`;
  if (notes.codeRefused)
    return `date -u    # codes are made from this machine's clock; if it is right, is totp: of host ${host.name} the seed of this account?`;
  if (notes.secretRefused)
    return [
      { command: 'up', on: { host: host.name } },
      ' on a terminal asks again; ',
      { command: 'secret set', on: { host: host.name }, flags: 'password' },
      ' replaces a stored one',
    ];
  if (notes.unsigned && takes('publickey'))
    return {
      command: 'up',
      on: { host: host.name },
      note: 'and let the agent sign: it may ask in a window of its own, or want a touch',
    };
  if (notes.sha1 === 'only')
    return `${sha1Line}    # under host ${host.name}; weak, for servers that know no better`;
  if (keys.length > 0 && takes('publickey')) {
    const [file] = notes.refusedFiles;
    const copy = `ssh-copy-id${file === undefined ? '' : ` -i ${file}`} -p ${host.port} ${host.user}@${host.hostname}`;
    return notes.sha1 === 'likely'
      ? `${sha1Line}    # under host ${host.name}, if that server is too old for SHA-2; else: ${copy}`
      : `is the key in ${host.user}'s authorized_keys there? ${copy}`;
  }
  if (keys.length === 0 && notes.methods !== null && notes.methods.length > 0)
    return methodHint(notes.methods, host) ?? { command: 'why', on: { host: host.name } };
  return [`check user and credentials of host ${host.name}: `, { command: 'why', on: { host: host.name } }];
}

const sha1Line = 'pubkey_algorithms: +ssh-rsa';

const known = ['publickey', 'password', 'keyboard-interactive', 'hostbased'];

/** Nothing of what the server takes was tried: what would have to be there for that. */
function methodHint(methods: readonly string[], host: Host): string | null {
  const configured = host.auth.map((name) => (name === 'agent' ? 'publickey' : name) as string);
  if (methods.includes('publickey') && configured.includes('publickey'))
    return `load a key (ssh-add), or name one: identity: [~/.ssh/id_…] under host ${host.name}`;
  const allowed = methods.filter((method) => known.includes(method) && !configured.includes(method));
  if (allowed.length > 0) return `allow it under host ${host.name}: auth: [${allowed.join(', ')}]`;
  if (!methods.some((method) => known.includes(method)))
    return `the server takes only ${methods.join(' or ')}, which tunnel does not do; ask its administrator for publickey`;
  return null;
}
