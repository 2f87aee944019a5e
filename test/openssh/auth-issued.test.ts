// Logins with a user certificate that a command makes, against a real sshd: when the command runs, and what its failure says.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CertificateCommand } from '../../src/model/host.ts';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hintOf } from '../helpers/hint.ts';
import { bareHost, logIn, testParts } from '../helpers/login.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { sign } from '../helpers/ways-in.ts';

const folder = temporaryFolder('issued');
let counter = 0;

/** A key without a certificate, and a command that makes one. */
interface Issuing {
  readonly key: string;
  readonly certificate: string;
  /** Makes a certificate now, as somebody did before. */
  issue(validity: string): void;
  /** How often the command ran. */
  runs(): number;
  /** `then`: what the script does once it is counted. */
  command(then: string): CertificateCommand;
}

function issuing(ca: string): Issuing {
  const key = makeKey(join(folder, `key${(counter += 1)}`));
  const counted = `${key}.runs`;
  return {
    key,
    certificate: `${key}-cert.pub`,
    issue: (validity) => void sign(ca, key, '-I', 'tester', '-n', 'root', '-V', validity),
    runs: () => (existsSync(counted) ? readFileSync(counted, 'utf8').length : 0),
    command: (then) => ({
      argv: ['sh', '-c', `printf x >> ${counted}; ${then}`],
      path: `${key}-cert.pub`,
      renewBeforeMs: 600_000,
    }),
  };
}

const signing = (ca: string, key: string): string =>
  `ssh-keygen -q -s ${ca} -I tester -n root -V -1m:+1h ${key}.pub`;

describe.skipIf(sshdMissing() !== null)('a certificate that a command makes', () => {
  let sshd: Sshd & AsyncDisposable;
  let ca = '';
  beforeAll(async () => {
    ca = makeKey(join(folder, 'ca'));
    sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
  });
  afterAll(() => sshd.stop());

  const hostOf = ({ key }: Issuing, certificateCommand: CertificateCommand) =>
    bareHost(sshd.port, { identities: [key], certificates: [certificateCommand.path], certificateCommand });

  test.each([
    ['is missing', null],
    ['has ended', '-2h:-1h'],
    ['ends within renew_before', '-1h:+5m'],
  ])('is made before a login when it %s, and once', async (_when, validity) => {
    const its = issuing(ca);
    if (validity !== null) its.issue(validity);
    const before = validity === null ? '' : readFileSync(its.certificate, 'utf8');
    const host = hostOf(its, its.command(signing(ca, its.key)));
    const credentials = createCredentials(testParts());
    for (const turn of ['first', 'second']) {
      const { error, record } = await logIn(host, {}, credentials);
      expect({ turn, error }).toEqual({ turn, error: null });
      expect(record?.accepted).toEqual([expect.stringMatching(/^certificate ED25519-CERT SHA256:/)]);
      expect(record?.certificate?.endsAtMs).toBeGreaterThan(Date.now() + 3_000_000);
      expect(its.runs()).toBe(1);
    }
    expect(readFileSync(its.certificate, 'utf8')).not.toBe(before);
  });

  test('is made once for two logins at one time', async () => {
    const its = issuing(ca);
    const host = hostOf(its, its.command(signing(ca, its.key)));
    const credentials = createCredentials(testParts());
    const both = await Promise.all([logIn(host, {}, credentials), logIn(host, {}, credentials)]);
    expect(both.map(({ error }) => error)).toEqual([null, null]);
    expect(its.runs()).toBe(1);
  });

  test.each([
    [
      'fails',
      'echo first >&2; printf "\\033[31mVault is \\033]0;x\\007sealed\\r\\n\\n" >&2; exit 2; : s3cret',
      /the certificate command sh failed: it ended with 2: Vault is sealed; refused: key/,
    ],
    ['writes nothing', 'true', /it ended well, but there is no certificate in \S+-cert\.pub/],
    [
      'writes nonsense',
      'echo nonsense > "$OUT"',
      /it ended well, but there is no certificate in \S+-cert\.pub/,
    ],
    ['hangs', 'sleep 1000', /the certificate command sh failed: it took longer than 1s/],
  ])('that %s is told with the words of the command, and no argument', async (_how, then, words) => {
    const its = issuing(ca);
    const host = hostOf(its, its.command(then));
    const credentials = createCredentials(testParts({ commandTimeoutMs: 1000 }));
    const { error } = await logIn(
      host,
      { variables: { ...process.env, OUT: its.certificate } as never },
      credentials,
    );
    expect(error?.code).toBe('KEY_UNREADABLE');
    expect(error?.message).toMatch(words);
    expect(error?.message).not.toMatch(/s3cret|printf|[^ -~]/);
    expect(hintOf(error)).toBe('tunnel restart katie    # runs it again');
    expect(its.runs()).toBe(1);
  });

  test('that was there before is used for its rest where the command fails', async () => {
    const its = issuing(ca);
    its.issue('-1h:+5m');
    const told: string[] = [];
    const log = (_level: string, _event: string, message: string): void => void told.push(message);
    const host = hostOf(its, its.command('echo no network >&2; exit 1'));
    const { error, record } = await logIn(host, {}, createCredentials(testParts({ log })));
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([expect.stringMatching(/^certificate/)]);
    expect(told.join('\n')).toContain('it ended with 1: no network; the one that ends soon is used');
  });

  test('is not made again by a login that only looks whether a proven key is taken by now', async () => {
    const its = issuing(ca);
    const host = hostOf(its, its.command('echo no >&2; exit 1'));
    const credentials = createCredentials(testParts());
    const first = await logIn(host, {}, credentials);
    expect(first.error?.code).toBe('KEY_UNREADABLE');
    const look = await logIn(host, { onlyProven: true }, credentials);
    expect(look.error?.code).toBe('KEY_UNREADABLE');
    expect(its.runs()).toBe(1);
    await logIn(host, {}, credentials);
    expect(its.runs()).toBe(2);
  });

  test('is for a command without the variables that an env: names', async () => {
    const its = issuing(ca);
    const host = hostOf(its, its.command(`[ -z "$HIDDEN" ] && ${signing(ca, its.key)}`));
    const credentials = createCredentials(testParts({ withheld: () => new Set(['HIDDEN']) }));
    const variables = { PATH: process.env['PATH'] ?? '', HIDDEN: 'x' };
    expect((await logIn(host, { variables }, credentials)).error).toBeNull();
  });
});
