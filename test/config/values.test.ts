// Values of single keys: whatever stands there, the answer is a value or a sentence, and what we print reads back.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hops,
  localListen,
  login,
  remoteListen,
  target,
  targetGlob,
  spelledForward,
} from '../../src/config/address.ts';
import { applyAlgorithms } from '../../src/config/algorithms.ts';
import { parseConfig } from '../helpers/config.ts';
import { probe, proxy, secretSource } from '../../src/config/special-values.ts';
import { expandTokens } from '../../src/config/ssh-config/tokens.ts';
import { formatEndpoint, tcp, type Endpoint } from '../../src/model/endpoint.ts';
import { formatSecretRef } from '../../src/model/secret.ts';

const parsers = {
  localListen,
  remoteListen,
  target,
  targetGlob,
  login,
  hops,
  probe,
  proxy,
  secretSource,
  spelledForward,
};

const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
const endpoint: fc.Arbitrary<Endpoint> = fc.oneof(
  fc.tuple(host, fc.integer({ min: 1, max: 65_535 })).map(([name, port]) => tcp(name, port)),
  fc.stringMatching(/^\/[a-z/]{0,30}[a-z]$/).map((path) => ({ kind: 'unix' as const, path })),
);

describe('values', () => {
  test.each(Object.entries(parsers))('%s answers anything with a value or a sentence', (_, parse) => {
    const anything = fc.oneof(fc.anything(), fc.string(), fc.stringMatching(/^[\w:[\]@./*-]{0,20}$/));
    fc.assert(
      fc.property(anything, (input) => {
        const read = parse(input);
        return 'value' in read || read.problem.length > 0;
      }),
      { numRuns: 300 },
    );
  });

  test('endpoints read back as they are printed', () => {
    fc.assert(
      fc.property(endpoint, (each) => {
        expect(target(formatEndpoint(each))).toEqual({ value: each });
        expect(localListen(formatEndpoint(each))).toEqual({ value: each });
        expect(remoteListen(formatEndpoint(each))).toEqual({ value: each });
      }),
    );
  });

  test('logins read back as they are printed', () => {
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
        const bracketed = name.includes(':') ? `[${name}]` : name;
        expect(login(`me@${bracketed}:${port}`)).toEqual({ value: { user: 'me', host: name, port } });
        expect(login(bracketed)).toEqual({ value: { user: null, host: name, port: null } });
      }),
    );
  });

  test.each([['keychain'], ['prompt'], ['env:NAME'], ['file:/a b/c'], ['command:[pass, show, a/b]']])(
    'the secret source %s reads back as it is printed',
    (written) => {
      const read = secretSource(written);
      expect('value' in read && formatSecretRef(read.value)).toBe(written);
    },
  );

  test.each([
    ['socks5://p:1080', { scheme: 'socks5', host: 'p', port: 1080, user: null, password: null }],
    ['socks5h://p:1080/', { scheme: 'socks5', host: 'p', port: 1080, user: null, password: null }],
    ['http://m%40x@[::1]:3128', { scheme: 'http', host: '::1', port: 3128, user: 'm@x', password: null }],
  ])('the proxy %s is understood', (written, expected) => {
    expect(proxy(written)).toEqual({ value: expected });
  });

  test.each([
    ['L 1:h:2', { type: 'local', local: tcp('127.0.0.1', 1), remote: tcp('h', 2) }],
    ['L 0.0.0.0:1:[::1]:2', { type: 'local', local: tcp('0.0.0.0', 1), remote: tcp('::1', 2) }],
    ['L [::1]:1:/r.sock', { type: 'local', local: tcp('::1', 1), remote: { kind: 'unix', path: '/r.sock' } }],
    ['L /l.sock:h:2', { type: 'local', local: { kind: 'unix', path: '/l.sock' }, remote: tcp('h', 2) }],
    ['R 0:h:2', { type: 'remote', remote: tcp('127.0.0.1', 0), local: tcp('h', 2) }],
    ['R *:8:h:2', { type: 'remote', remote: tcp('*', 8), local: tcp('h', 2) }],
    ['R 8', { type: 'remote', remote: tcp('127.0.0.1', 8) }],
    ['D [::1]:1080', { type: 'dynamic', local: tcp('::1', 1080) }],
    ['-L1:h:2', { type: 'local', local: tcp('127.0.0.1', 1), remote: tcp('h', 2) }],
  ])("ssh's spelling %s is understood", (written, expected) => {
    expect(spelledForward(written)).toEqual({ value: { spelled: true, ...expected } });
  });

  test.each([
    'L',
    'L 1',
    'L 1:2',
    'L 0:h:1',
    'L 1:h:0',
    'L 1:h:2:3:4',
    'D 1:h:2',
    'X 1:h:2',
    'L [::1:1:h:2',
    'L 1::2',
  ])("%j is not ssh's spelling of a forward", (written) => {
    expect(spelledForward(written)).toHaveProperty('problem');
  });

  test.each([
    ['+z', ['a', 'b', 'c', 'z']],
    ['+b', ['a', 'b', 'c']],
    ['-b', ['a', 'c']],
    ['-*', []],
    ['^c,z', ['c', 'z', 'a', 'b']],
    ['c,a', ['c', 'a']],
  ])('the algorithm list %s over a,b,c is %j', (written, expected) => {
    expect(applyAlgorithms(written, ['a', 'b', 'c'])).toEqual(expected);
  });

  test('a token that is not known is told, not guessed', () => {
    const facts = {
      home: '/h',
      localUser: 'me',
      uid: 7,
      localHost: 'box.example',
      alias: 'al',
      hostname: 'real',
      port: 22,
      user: 'you',
      jump: '',
      hostKeyAlias: null,
      env: { X: 'x' },
    };
    expect(expandTokens('%d/%n-%h-%r-%p-%u-%i-%L-%l-%k-%%-${X}', facts)).toEqual({
      text: '/h/al-real-you-22-me-7-box-box.example-al-%-x',
    });
    expect(expandTokens('%q', facts)).toEqual({ problem: '%q stands for nothing here' });
    expect(expandTokens('${NOPE}', facts)).toEqual({ problem: '${NOPE} stands for nothing here' });
    expect(expandTokens('x%', facts)).toHaveProperty('problem');
  });
});

describe('a config of any text', () => {
  test('is a config or a list of issues, never a crash', () => {
    const word = fc.constantFrom(
      'tunnels:',
      'hosts:',
      'defaults:',
      '  a:',
      '  b: &x',
      '    host: h',
      '    local: 1',
      '    remote: 2',
      '    <<: *x',

      '    forwards:',
      '      - L 1:h:2',
      '      - { local: 1',
      '}',
      '[',
      '- x',
      'include: y',
      '"',
      "'",
      '? !!map',
      ': ',
      '|',
      '\t',
      '---',
      '*x',
      '# c',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string({ maxLength: 8 })), { maxLength: 14 }), (lines) => {
        const read = parseConfig('/x/t.yaml', lines.join('\n'));
        if ('issues' in read) {
          expect(read.issues.length).toBeGreaterThan(0);
          for (const { line, column } of read.issues)
            expect(Math.min(line, column)).toBeGreaterThanOrEqual(1);
        } else expect(read.config.tunnels.size).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});
