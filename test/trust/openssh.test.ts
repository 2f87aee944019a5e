// Ours and OpenSSH's verdict on the same known_hosts, row by row, against a real sshd with a host certificate.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostKeyName, parseKnownHosts } from '../../src/trust/known-hosts.ts';
import { judgePresented } from '../../src/trust/verdict.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { certify, testKey } from './keys.ts';

const folder = temporaryFolder('openssh');

describe.skipIf(sshdMissing() !== null)('ssh and we agree', () => {
  const ca = testKey();
  const key = testKey();
  const other = testKey();
  const rsa = testKey(['-t', 'rsa', '-b', '2048']);
  const otherCertificate = certify(ca, key, ['-h', '-I', 'old', '-n', 'elsewhere']);
  const foreign = certify(ca, other, ['-h', '-I', 'id', '-n', 'plain']);
  const certificate = certify(ca, key, ['-h', '-I', 'id', '-n', 'plain,*.wild,127.0.0.1']);
  const K = key.line;
  const CA = ca.line;
  let server: Sshd & AsyncDisposable;

  beforeAll(async () => {
    server = await startSshd({
      hostKeyTypes: [],
      config: [`HostKey ${key.path}`, `HostCertificate ${key.path}-cert.pub`],
    });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const sshAccepts = (knownHosts: string, alias: string | null): boolean => {
    const options = [
      'IdentitiesOnly=yes',
      `IdentityFile=${server.identity}`,
      `UserKnownHostsFile=${knownHosts}`,
      'GlobalKnownHostsFile=/dev/null',
      'StrictHostKeyChecking=yes',
      'UpdateHostKeys=no',
      'BatchMode=yes',
      ...(alias === null ? [] : [`HostKeyAlias=${alias}`]),
    ].flatMap((option) => ['-o', option]);
    const args = ['-F', 'none', ...options, '-p', String(server.port), '127.0.0.1', 'true'];
    return spawnSync('ssh', args, { stdio: 'ignore' }).status === 0;
  };

  // HERE stands for [127.0.0.1]:PORT.
  const rows: [string, string, string | null, boolean][] = [
    ['the name with its port', `HERE ${K}`, null, true],
    ['the name without its port', `127.0.0.1 ${K}`, null, true],
    ['another key under the name without its port', `127.0.0.1 ${other.line}`, null, false],
    ['another port', `[127.0.0.1]:1 ${K}`, null, false],
    ['a pattern', `[127.0.0.?]:* ${K}`, null, true],
    ['a negated pattern', `*,!HERE,!127.0.0.1 ${K}`, null, false],
    ['a pattern negated for the port only', `*,!HERE ${K}`, null, true],
    ['a list', `a,HERE,b ${K}`, null, true],
    ['another key', `HERE ${other.line}`, null, false],
    ['a key of another type', `HERE ${rsa.line}`, null, false],
    ['two keys, one of them right', `HERE ${other.line}\nHERE ${K}`, null, true],
    ['carriage returns', `HERE ${K}\r\n`, null, true],
    ['blanks and tabs', `  \tHERE\t ${K}  a comment`, null, true],
    ['two markers', `@revoked @revoked HERE ${K}`, null, false],
    ['an unknown marker', `@other HERE ${K}`, null, false],
    ['cut base64', `HERE ${K.slice(0, -1)}`, null, false],
    ['a comment', `#HERE ${K}`, null, false],
    ['a revoked key', `HERE ${K}\n@revoked * ${K}`, null, false],
    ['a revoked other key', `HERE ${K}\n@revoked * ${other.line}`, null, true],
    ['a revocation without the port', `127.0.0.1 ${K}\n@revoked 127.0.0.1 ${K}`, null, false],
    ['an alias', `plain ${K}`, 'plain', true],
    ['an alias in capitals', `plain ${K}`, 'PLAIN', true],
    ['a CA for a listed name', `@cert-authority * ${CA}`, 'plain', true],
    ['a CA for a listed name in capitals', `@cert-authority * ${CA}`, 'PLAIN', true],
    ['a CA for the address', `@cert-authority HERE ${CA}`, null, true],
    ['a CA for another host', `@cert-authority robin ${CA}`, 'plain', false],
    ['a principal that is a pattern', `@cert-authority * ${CA}`, 'a.wild', false],
    ['a name that is not listed', `@cert-authority * ${CA}`, 'other', false],
    ['a name that is not listed, its plain key known', `@cert-authority * ${CA}\nother ${K}`, 'other', true],
    ['another CA', `@cert-authority * ${other.line}`, 'plain', false],
    ['a revoked CA', `@cert-authority * ${CA}\n@revoked * ${CA}`, 'plain', false],
    ['a revoked CA, the plain key known', `plain ${K}\n@revoked * ${CA}`, 'plain', false],
    ['a CA, the plain key revoked', `@cert-authority * ${CA}\n@revoked plain ${K}`, 'plain', false],
    [
      'a CA, the certificate revoked',
      `@cert-authority * ${CA}\n@revoked * ${certificate.line}`,
      'plain',
      false,
    ],
    [
      'the plain key known, the certificate revoked',
      `plain ${K}\n@revoked plain ${certificate.line}`,
      'plain',
      false,
    ],
    [
      'a CA, another certificate of the key revoked',
      `@cert-authority * ${CA}\n@revoked HERE ${otherCertificate.line}`,
      null,
      false,
    ],
    [
      'a CA, a certificate of another key revoked',
      `@cert-authority * ${CA}\n@revoked * ${foreign.line}`,
      'plain',
      true,
    ],
    ['a CA, another plain key known', `@cert-authority * ${CA}\nplain ${other.line}`, 'plain', true],
    ['a CA whose marker ends in a tab', `@cert-authority\t* ${CA}`, 'plain', false],
    ['a pattern that is too long', `plain,${'x'.repeat(1023)} ${K}`, 'plain', false],
    ['a host with a carriage return', `plain\r ${K}`, 'plain', false],
    ['a carriage return in the key', `plain ${K.slice(0, 40)}\r${K.slice(40)}\r`, 'plain', true],
    ['a tab everywhere', `\tplain\t${K.replace(' ', '\t')}\t`, 'plain', true],
    ['a CA key without its marker', `plain ${CA}`, 'plain', false],
  ];

  test.each(rows)('on %s', (_, lines, alias, expected) => {
    const file = join(folder, 'known_hosts');
    const text = `${lines.replaceAll('HERE', `[127.0.0.1]:${server.port}`)}\n`;
    writeFileSync(file, text);
    const { entries } = parseKnownHosts(readFileSync(file, 'utf8'), file);
    const name = hostKeyName('127.0.0.1', server.port, alias);
    const { verdict } = judgePresented(entries, name, certificate.blob, Date.now());
    expect({ us: verdict.kind === 'trusted', ssh: sshAccepts(file, alias) }).toEqual({
      us: expected,
      ssh: expected,
    });
  });
});
