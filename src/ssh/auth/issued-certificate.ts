// A user certificate that a command makes (`certificate: { command, file, renew_before }`, SPEC 2): run before a login when the
// certificate is missing, has ended or ends soon; at most once a login, and once for all logins that want it at one time.
// What has failed is not run again by a link that looks again by itself, only where a person or a new try asks for it.
import { endingWords, lastLine, runProgram } from '../../files/child.ts';
import { endOf, validityAt } from '../../keys/certificate.ts';
import { cleanText } from '../../model/clean.ts';
import type { CertificateCommand } from '../../model/host.ts';
import { environmentWithout } from '../../secrets/read.ts';
import { isCertificateList, readCertificateFile, shownPath } from './key-files.ts';
import type { Login } from './login.ts';

/** As for a command that tells a secret. */
const deadlineMs = 30_000;
/** Of which the last line is told. */
const saidLimitBytes = 64 * 1024;

/** How a certificate's file stands. `ending`: it is good, and ends within renew_before. */
type Standing = 'absent' | 'ended' | 'ending' | 'lasting';

const standingWords: Readonly<Record<Exclude<Standing, 'lasting'>, string>> = {
  absent: 'which holds none',
  ended: 'which is not valid now',
  ending: 'which ends soon',
};

type Outcome =
  | { readonly kind: 'made' }
  | { readonly kind: 'failed'; readonly why: string }
  /** Whoever began it has left. */
  | { readonly kind: 'unwanted' };

/** One a process. */
export class IssuedCertificates {
  readonly #running = new Map<string, Promise<Outcome>>();
  /** Why the last run of a command failed. */
  readonly #failed = new Map<string, string>();

  /** What stands in the way is written down in the login: its other credentials may do. */
  async renew(login: Login): Promise<void> {
    const { certificateCommand: made, auth } = login.host;
    if (made === null || !(auth.includes('publickey') || auth.includes('agent'))) return;
    const standing = await standingOf(made, login);
    const { onlyNew, onlyProven } = login.context;
    const byItself = onlyProven || onlyNew === true;
    if (standing === 'lasting' || (standing === 'ending' && byItself)) return;
    const key = JSON.stringify([made.path, made.argv]);
    const before = byItself ? this.#failed.get(key) : undefined;
    const why = before ?? (await this.#run(key, { made, login }));
    if (why === null) return;
    const words = `the certificate command ${program(made)} failed: ${why}`;
    if (standing !== 'ending')
      return login.block({
        code: 'KEY_UNREADABLE',
        why: words,
        hint: { command: 'restart', on: { host: login.host.name }, note: 'runs it again' },
        question: null,
        decisive: true,
      });
    login.log('warn', 'certificate', `${words}; the one that ends soon is used`, { host: login.host.name });
    login.tell(words);
  }

  /** Null when it made one. */
  async #run(key: string, parts: RunParts): Promise<string | null> {
    for (;;) {
      const { signal } = parts.login.context;
      const running = this.#running.get(key) ?? this.#start(key, parts);
      const outcome = await running;
      if (outcome.kind === 'unwanted' && !signal.aborted) continue;
      if (outcome.kind === 'made') this.#failed.delete(key);
      if (outcome.kind === 'failed') this.#failed.set(key, outcome.why);
      return outcome.kind === 'failed' ? outcome.why : null;
    }
  }

  #start(key: string, parts: RunParts): Promise<Outcome> {
    const running = runCommand(parts).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }
}

interface RunParts {
  readonly made: CertificateCommand;
  readonly login: Login;
}

/** Only the program is named: an argument may be a secret. */
const program = ({ argv: [first = ''] }: CertificateCommand): string => cleanText(first);

async function runCommand({ made, login }: RunParts): Promise<Outcome> {
  const standing = await standingOf(made, login);
  if (standing === 'lasting') return { kind: 'made' }; // another login had it made meanwhile
  const { context, parts, host } = login;
  const file = shownPath(made.path, context.environment);
  const startedMs = parts.clock.monotonic();
  const runs = `runs ${program(made)} for the certificate in ${file}, ${standingWords[standing]}`;
  login.log('info', 'certificate', runs, { host: host.name });
  const limitMs = parts.commandTimeoutMs ?? deadlineMs;
  const { ending, said } = await runProgram(made.argv, {
    env: environmentWithout(context.environment.variables, parts.withheld()),
    deadlineMs: limitMs,
    outputLimitBytes: null,
    saidLimitBytes,
    signal: context.signal,
  });
  if (ending.how === 'unwanted') return { kind: 'unwanted' };
  const after = await standingOf(made, login);
  const nothing =
    after === 'absent' ? `there is no certificate in ${file}` : `the certificate in ${file} is not valid now`;
  const isGood = after === 'lasting' || after === 'ending';
  const why = endingWords(ending, limitMs) ?? (isGood ? null : `it ended well, but ${nothing}`);
  if (why === null) {
    login.report(true, `certificate in ${file}: made by ${program(made)}`, startedMs);
    return { kind: 'made' };
  }
  const words = lastLine(said);
  return { kind: 'failed', why: words === '' ? why : `${why}: ${words}` };
}

/** By the certificate that lasts longest. */
async function standingOf({ path, renewBeforeMs }: CertificateCommand, login: Login): Promise<Standing> {
  const read = await readCertificateFile(path);
  if (!isCertificateList(read)) return 'absent';
  const now = login.parts.clock.now();
  const valid = read.filter((certificate) => validityAt(certificate, now) === 'valid');
  if (valid.length === 0) return 'ended';
  const lasts = valid.some((certificate) => (endOf(certificate) ?? Infinity) - now > renewBeforeMs);
  return lasts ? 'lasting' : 'ending';
}
