// `tunnel trust`: looks at host keys by the way the tunnels go, asks, stores them, and wakes what waited for them.
import { shortPath } from '../../config/locate.ts';
import { openSshHere } from '../../client/ssh-here.ts';
import { trustWays, type TrustOutcome, type TrustTerms } from '../../client/trusting.ts';
import { asTunnelError, worstExitCode, type ErrorCode } from '../../errors.ts';
import { readFingerprint } from '../../keys/fingerprint.ts';
import { formatHop } from '../../model/host.ts';
import { listNames } from '../../render/error.ts';
import { anyWords, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import type { Context } from '../../client/context.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';
import { confirmKey, loginContext } from '../trust-questions.ts';
import { errorIn, routesTo, type Route } from '../../client/trust-routes.ts';

export const spec: CommandSpec = {
  name: 'trust',
  words: '[SEL…|HOST…]',
  takes: anyWords,
  about: "look at servers' host keys and trust them",
  more: [
    'Fetches the key over the way the tunnel would go, shows it, asks, stores it. HOST is a name from hosts: or',
    'ssh_config, or [user@]host:port; the name of a tunnel comes first.',
  ],
  options: [
    { name: 'yes', alias: 'y', about: 'trust the keys that are offered, of every hop, without asking' },
    {
      name: 'fingerprint',
      value: 'SHA256:…',
      about: 'trust without asking if the server has a key with this fingerprint, else exit 7',
    },
    { name: 'replace', about: 'a changed key: trust the new one, revoke the old one' },
    { name: 'also', about: 'a further key beside the known one (a balanced bastion)' },
  ],
  examples: [
    ['tunnel trust db', 'look, compare, say yes'],
    ['tunnel trust --fingerprint SHA256:q3Vx1b0g… db', 'off a terminal'],
    ['tunnel trust --replace db', 'after the server was set up anew'],
    ['tunnel trust bastion.example.org:2222', 'a server that no tunnel goes to yet'],
  ],
};

export const run: Run = async (context, args) => {
  const terms = termsOf(args);
  const config = await readyConfig(context);
  const routes = await routesTo(args.words, config, context);
  refuseSeveral(terms, routes);
  using interruption = context.interruption();
  const ssh = openSshHere(context, config, () => undefined);
  const outcomes: TrustOutcome[] = [];
  const failures: ErrorCode[] = [];
  const dialContext = loginContext(
    context,
    interruption,
    routes.flatMap(({ ways }) => ways),
  );
  const shared = { terms, ssh, context: dialContext, now: context.now };
  for (const route of routes) {
    const request = { ...shared, confirm: confirmKey(context, interruption, route.ways) };
    try {
      await trustWays(route.ways, request, (outcome) => {
        outcomes.push(outcome);
        if (!context.options.json) show(context, outcome);
      });
    } catch (thrown) {
      interruption.signal.throwIfAborted();
      const error = errorIn(asTunnelError(thrown), route);
      context.complain(error);
      failures.push(error.code);
    }
  }
  // Where every way failed there is no document (SPEC 4).
  if (context.options.json && (outcomes.length > 0 || failures.length === 0)) context.json(outcomes);
  await wake(context, outcomes);
  return worstExitCode(failures);
};

/** What is said of one server's key must not change what is known of another's. */
function refuseSeveral(terms: TrustTerms, routes: readonly Route[]): void {
  const option =
    terms.fingerprint !== null ? '--fingerprint' : terms.replace ? '--replace' : terms.also ? '--also' : null;
  // Tunnels were named one by one, or by a pattern: a host's word may mean more servers than its user knows.
  const several = terms.fingerprint !== null ? routes : routes.filter(({ alternatives }) => alternatives > 1);
  if (option === null || several.length < 2) return;
  const servers = several.map(({ ways: [way] }) => formatHop(way.at(-1) ?? way[0]));
  const flag = terms.fingerprint === null ? option : `${option} ${terms.fingerprint}`;
  throw usage(
    `${option} is for one server, and this goes to several: ${listNames(servers)}`,
    several
      .slice(0, 3)
      .flatMap(({ wordFor, ways: [way] }, index) => [
        ...(index === 0 ? [] : ['\n']),
        { command: `trust ${flag}`, on: { words: [wordFor(way.at(-1) ?? way[0])] } },
      ]),
  );
}

function termsOf(args: Args): TrustTerms {
  const written = args.text('fingerprint');
  const terms = {
    yes: args.flag('yes'),
    fingerprint: written === undefined ? null : fingerprint(written),
    replace: args.flag('replace'),
    also: args.flag('also'),
  };
  if (terms.replace && terms.also)
    throw usage('--replace and --also cannot be used together', { command: 'trust --help' });
  return terms;
}

/** SHA256:…, with or without the word in front. */
function fingerprint(written: string): string {
  const read = readFingerprint(written.trim().replace(/^sha256:/i, ''));
  if (read !== null) return read;
  const isMd5 = /^(md5:)?([0-9a-f]{2}:){15}[0-9a-f]{2}$/i.test(written.trim());
  const why = isMd5
    ? `${written} is an MD5 fingerprint, which can be forged: only SHA256 is accepted`
    : `${written} is not a SHA256 fingerprint (SHA256: and 43 characters)`;
  // What whoever runs the server types there.
  throw usage(why, 'ssh-keygen -l -E sha256 -f /etc/ssh/ssh_host_ed25519_key.pub    # on the server');
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
  // By address: a name may be that of other hosts too, whose refused logins are not to be tried again for this.
  const hosts = [...new Set(outcomes.map(({ address }) => address))];
  if (hosts.length === 0) return;
  try {
    await ask(locateTarget(context), 'recheck', { hosts });
  } catch (thrown) {
    // The keys are stored, which is what was asked for.
    context.talk(`the supervisor was not told: ${asTunnelError(thrown).message}`);
  }
}
