// `tunnel trust`: looks at host keys by the way the tunnels go, asks, stores them, and wakes what waited for them.
import { matchSelectors, selects } from '../../config/selectors.ts';
import { shortPath } from '../../config/locate.ts';
import { openSsh } from '../../daemon/ssh-parts.ts';
import { trustWays, type TrustOutcome, type TrustTerms } from '../../daemon/trusting.ts';
import { asTunnelError, TunnelError, worstExitCode, type ErrorCode } from '../../errors.ts';
import { systemClock } from '../../model/clock.ts';
import { formatAddress, type Way } from '../../model/host.ts';
import type { ResolvedConfig } from '../../model/tunnel.ts';
import { readFingerprint } from '../../trust/fingerprint.ts';
import type { Args, Run } from '../command.ts';
import type { Context } from '../context.ts';
import { usage } from '../parse.ts';
import { readyConfig } from '../ready-config.ts';
import { ask, locateTarget } from '../supervisor.ts';
import { confirmKey, loginContext } from '../trust-questions.ts';

export const trust: Run = async (context, args) => {
  const terms = termsOf(args);
  const config = await readyConfig(context);
  const routes = routesTo(args.words, config.resolved);
  if (terms.fingerprint !== null && routes.length > 1)
    throw usage('--fingerprint', 'it is for one server', 'tunnel trust --fingerprint SHA256:… NAME');
  using interruption = context.interruption();
  const ssh = openSsh({
    facts: context.facts,
    places: context.places,
    clock: systemClock,
    log: () => undefined,
    program: context.program,
    project: config.project,
    config: () => config.resolved,
    writable: true,
  });
  const outcomes: TrustOutcome[] = [];
  const failures: ErrorCode[] = [];
  const dialContext = loginContext(context, interruption);
  for (const ways of routes) {
    const request = {
      terms,
      ssh,
      context: dialContext,
      confirm: confirmKey(context, interruption),
      now: context.now,
    };
    try {
      await trustWays(ways, request, (outcome) => {
        outcomes.push(outcome);
        if (!context.options.json) show(context, outcome);
      });
    } catch (thrown) {
      interruption.signal.throwIfAborted();
      const error = asTunnelError(thrown);
      context.complain(error);
      failures.push(error.code);
    }
  }
  // Where every way failed there is no document (SPEC 4).
  if (context.options.json && (outcomes.length > 0 || failures.length === 0))
    context.out(JSON.stringify(outcomes, null, 2));
  await wake(context, outcomes);
  return worstExitCode(failures);
};

function termsOf(args: Args): TrustTerms {
  const fingerprint = args.text('fingerprint') ?? null;
  if (fingerprint !== null && readFingerprint(fingerprint) === null)
    throw usage(
      '--fingerprint',
      `${fingerprint} is no SHA256 fingerprint`,
      'ssh-keygen -lf KEY.pub prints one',
    );
  const terms = {
    yes: args.flag('yes'),
    fingerprint,
    replace: args.flag('replace'),
    also: args.flag('also'),
  };
  if (terms.replace && terms.also)
    throw usage('tunnel trust', '--replace and --also exclude each other', 'tunnel trust --help');
  return terms;
}

type Ways = readonly [Way, ...Way[]];

/** The ways to what the words mean: tunnels, or hosts on the way of one. Each way once. */
function routesTo(words: readonly string[], config: ResolvedConfig): Ways[] {
  const isTunnel = (word: string): boolean => config.tunnels.some((tunnel) => selects(word, tunnel));
  const hosts = words.filter((word) => !isTunnel(word));
  const selectors = words.filter(isTunnel);
  const names = new Set(
    words.length > 0 && selectors.length === 0 ? [] : matchSelectors(selectors, config.tunnels),
  );
  const routes = [
    ...config.tunnels.filter(({ name }) => names.has(name)).map(({ ways }) => ways),
    ...hosts.map((word) => routeToHost(word, config)),
  ];
  return [...new Map(routes.map((ways) => [JSON.stringify(ways), ways])).values()];
}

function routeToHost(word: string, config: ResolvedConfig): Ways {
  for (const way of config.tunnels.flatMap(({ ways }) => ways)) {
    const at = way.findIndex((host) => [host.name, host.hostname, formatAddress(host)].includes(word));
    const [first, ...others] = way.slice(0, at + 1);
    if (first !== undefined) return [[first, ...others]];
  }
  throw new TunnelError(
    'NO_SUCH_TUNNEL',
    `trust failed, on ${word}: no such tunnel, and no tunnel goes through such a host`,
    {
      hint: 'tunnel show',
    },
  );
}

const words: Readonly<Record<TrustOutcome['kind'], string>> = {
  known: 'is trusted already',
  stored: 'stored in',
  added: 'stored beside the known ones in',
  replaced: 'stored in the place of the old one in',
};

function show(context: Context, outcome: TrustOutcome): void {
  const { address, keyType, fingerprint, kind, at, revoked, foreign } = outcome;
  const place = at === null ? '' : `${shortPath(at.file, context.facts)}:${at.line}`;
  const where =
    kind === 'known' ? (place === '' ? words.known : `${words.known}, ${place}`) : `${words[kind]} ${place}`;
  context.out(`${address}  ${keyType} ${fingerprint}  ${where}`);
  for (const old of revoked) context.out(`${address}  ${old.type} ${old.fingerprint}  revoked`);
  for (const line of foreign) {
    context.talk(`${line.file}:${line.line} still trusts the old ${line.type} key for ssh`);
    context.talk(`hint: ${line.command ?? `edit ${line.file}, line ${line.line}`}`);
  }
}

/** What waited for these keys looks again; no supervisor is started for it. */
async function wake(context: Context, outcomes: readonly TrustOutcome[]): Promise<void> {
  const hosts = [...new Set(outcomes.map(({ host }) => host))];
  if (hosts.length === 0) return;
  try {
    await ask(context, locateTarget(context), 'recheck', { hosts });
  } catch (thrown) {
    // The keys are stored, which is what was asked for.
    context.talk(`the supervisor was not told: ${asTunnelError(thrown).message}`);
  }
}
