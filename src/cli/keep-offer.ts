// What was typed at `up` and let us in may be kept in the keychain: offered once, no by default, and only where a keychain
// answers and the config leaves the source open or says keychain.
import type { StatusDocument } from '../model/status.ts';
import { asTunnelError } from '../errors.ts';
import { formatLogin, type Host } from '../model/host.ts';
import type { PendingQuestion } from '../model/question.ts';
import type { Secret } from '../model/secret.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import { accountOf } from '../secrets/entries.ts';
import type { Context } from '../client/context.ts';
import { keychainEntries, keychainOf } from '../client/keychain-entries.ts';

export interface KeepOffer {
  /** An answer that a person has given. */
  readonly typed: (question: PendingQuestion, value: Secret) => void;
  /** Asks about what was accepted: the links of these tunnels are up with it. */
  readonly make: (document: StatusDocument) => Promise<void>;
}

type Kept = 'password' | 'passphrase';

interface Typed {
  readonly host: Host;
  readonly kind: Kept;
  readonly text: string;
  readonly value: Secret;
}

/** A keychain that takes longer to say whether it is there is not offered. */
const lookLimitMs = 5_000;

export function createKeepOffer(context: Context, config: ResolvedConfig): KeepOffer {
  const typed = new Map<string, Typed>();
  const hosts = config.tunnels.flatMap(({ ways }) => ways.flat());
  return {
    typed(question, value) {
      const { kind, endpoint, text } = question;
      if (kind !== 'password' && kind !== 'passphrase') return;
      const asks = (host: Host): boolean => host.name === question.host && formatLogin(host) === endpoint;
      const host = hosts.find(asks);
      // The last answer to a question is the one that was not asked for again.
      if (host !== undefined && isOpen(host, kind))
        typed.set(`${endpoint} ${text}`, { host, kind, text, value });
    },
    async make(document) {
      const up = document.tunnels.filter(({ state }) => state === 'up').map(({ name }) => name);
      const through = config.tunnels
        .filter(({ name }) => up.includes(name))
        .flatMap(({ ways }) => ways.flat());
      for (const each of single([...typed.values()]))
        if (through.includes(each.host)) await offer(context, each);
    },
  };
}

/** `password: prompt` is a decision, and another source has its own place. */
function isOpen(host: Host, kind: Kept): boolean {
  return host[kind] === null || host[kind].from === 'keychain';
}

/** Several passphrases of one host have no common entry. */
function single(typed: readonly Typed[]): readonly Typed[] {
  const alike = (a: Typed, b: Typed): boolean => a.host === b.host && a.kind === b.kind;
  return typed.filter((each) => typed.filter((other) => alike(each, other)).length === 1);
}

async function offer(context: Context, { host, kind, value }: Typed): Promise<void> {
  const keychain = keychainOf(context, lookLimitMs);
  const answers = await keychain.get(accountOf(host.name, kind)).then(
    () => true,
    () => false,
  );
  if (!answers) return;
  const endpoint = formatLogin(host);
  const prompter = context.prompter();
  const outcome = await prompter.confirm(`Save the ${kind} for ${endpoint} in the keychain?`);
  if (outcome.kind !== 'answered') return;
  try {
    await keychainEntries(context).write({ name: host.name, kind, endpoint }, value);
    context.talk([
      'stored in the keychain; ',
      { command: 'secret delete', on: { host: host.name }, flags: kind },
      ' takes it out',
    ]);
    if (host[kind] === null)
      context.talk(`hint: ${kind}: keychain    # under host ${host.name}, or it is not used`);
  } catch (thrown) {
    context.complain(asTunnelError(thrown)); // the tunnel is up, which is what was asked for
  }
}
