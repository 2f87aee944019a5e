// Whose a false end is: read in a log that a real sshd wrote (OpenSSH 9.2 with LogVerbose, shortened).
import { describe, expect, test } from 'vitest';
import { createConnection, findingsOf, type Connection, type Way } from '../../chaos/connection.ts';
import { liarOf, type Liar } from '../../chaos/judge.ts';
import { touchScript } from '../../chaos/script.ts';
import { readChannels } from '../../chaos/sshd-log.ts';

const direct = (port: number, rest: readonly string[]): string =>
  [
    `debug1: serverloop.c:server_request_direct_tcpip():453 (pid=77): originator 127.0.0.1 port ${port}, target 127.0.0.1 port 44183`,
    'debug1: channels.c:channel_new():503 (pid=77): channel 3: new direct-tcpip [direct-tcpip] (inactive timeout: 0)',
    ...rest,
  ].join('\r\n');
const forwarded = (rest: readonly string[]): string =>
  [
    'debug1: channels.c:channel_post_port_listener():1902 (pid=77): Connection to port 39992 forwarding to localhost port 0 requested.',
    'debug1: channels.c:channel_new():503 (pid=77): channel 3: new forwarded-tcpip [forwarded-tcpip] (inactive timeout: 0)',
    ...rest,
  ].join('\r\n');
const received = 'debug2: nchan.c:chan_rcvd_ieof():257 (pid=77): channel 3: rcvd eof';
const drained = 'debug2: nchan.c:chan_obuf_empty():153 (pid=77): channel 3: obuf empty';
const sent = 'debug2: nchan.c:chan_send_eof2():188 (pid=77): channel 3: send eof';
const freed = (port: number): string =>
  `debug1: channels.c:channel_free():721 (pid=77): channel 3: free: forwarded-tcpip: listening port 39992 for localhost port 0, connect from 127.0.0.1 port ${port} to 127.0.0.1 port 39992, nchannels 4`;

const tcp = { forward: 'port', clientIsUnix: false, targetIsUnix: false };
const local: Way = { ...tcp, name: 'near.port', tunnel: 'near', type: 'local' };
const remote: Way = { ...tcp, name: 'nearBack.port', tunnel: 'nearBack', type: 'remote' };
const fromPath: Way = { ...local, name: 'near.fromPath', clientIsUnix: true };

/** A connection of which one end was told of an end after half of what was sent. */
function lied(way: Way, reader: 'client' | 'target', ended: 'no' | 'end' | 'reset'): Connection {
  const connection = createConnection(1, way, touchScript, 0);
  const sender = reader === 'client' ? connection.target : connection.client;
  connection.client.port = 46_302;
  sender.sentBytes = 100;
  sender.ended = ended;
  connection[reader].seen = 'end';
  return connection;
}

function whose(connection: Connection, log: string): Liar {
  const [finding, ...more] = findingsOf(connection);
  if (finding === undefined) throw new Error('nothing was found');
  expect(more).toEqual([]);
  expect(finding.flaw).toBe('falseEnd');
  return liarOf(finding, readChannels(log));
}

describe('an end that a client of the tunnel was told of', () => {
  test('is OpenSSH’s when sshd sent one for a target that went without', () => {
    expect(whose(lied(local, 'client', 'reset'), direct(46_302, [sent]))).toBe('openssh');
    expect(whose(lied(local, 'client', 'no'), direct(46_302, [sent]))).toBe('openssh');
  });

  test('is the tunnel’s when sshd sent none, or when the target sent more', () => {
    expect(whose(lied(local, 'client', 'no'), direct(46_302, []))).toBe('tunnel');
    expect(whose(lied(local, 'client', 'reset'), direct(46_303, [sent]))).toBe('tunnel');
    expect(whose(lied(local, 'client', 'end'), direct(46_302, [sent]))).toBe('tunnel');
    expect(whose(lied(local, 'client', 'no'), '')).toBe('tunnel');
  });

  test('is a unix socket’s where a reset cannot be told', () => {
    expect(whose(lied(fromPath, 'client', 'no'), '')).toBe('unix');
  });

  test('over a remote forward is looked for at the target', () => {
    expect(whose(lied(remote, 'target', 'reset'), forwarded([sent, freed(46_302)]))).toBe('openssh');
    expect(whose(lied(remote, 'target', 'no'), forwarded([freed(46_302)]))).toBe('tunnel');
  });
});

describe('an end that somebody behind sshd was told of', () => {
  test('is OpenSSH’s when the tunnel sent it none', () => {
    expect(whose(lied(local, 'target', 'no'), direct(46_302, []))).toBe('openssh');
    expect(whose(lied(local, 'target', 'reset'), direct(46_302, []))).toBe('openssh');
    expect(whose(lied(remote, 'client', 'no'), forwarded([]))).toBe('openssh'); // killed before it told the port
  });

  test('is looked for among the channels to unix sockets when the target is one, whoever had the client’s port', () => {
    const toPath: Way = { ...local, name: 'near.toPath', targetIsUnix: true };
    const other = direct(46_302, [received, drained]);
    const own = [
      'debug1: serverloop.c:server_request_direct_streamlocal():498 (pid=78): originator  port 0, target /tmp/target.sock',
      'debug1: channels.c:channel_new():503 (pid=78): channel 0: new direct-streamlocal@openssh.com [direct-streamlocal] (inactive timeout: 0)',
    ];
    const misled = [...own, received.replace('77', '78').replace('channel 3', 'channel 0')];
    expect(whose(lied(toPath, 'target', 'no'), [other, ...own].join('\n'))).toBe('openssh');
    expect(whose(lied(toPath, 'target', 'no'), [other, ...misled].join('\n'))).toBe('tunnel');
  });

  test('may be of a killed process though a connection before had the same port', () => {
    const before = forwarded([received, freed(46_302)]);
    const killed = forwarded([]).replaceAll('pid=77', 'pid=78');
    const [finding] = findingsOf(lied(remote, 'client', 'no'));
    if (finding === undefined) throw new Error('nothing was found');
    const channels = readChannels([before, killed].join('\n'));
    expect(liarOf(finding, channels, 2)).toBe('openssh');
    expect(liarOf(finding, channels, 1)).toBe('tunnel');
  });

  test('is OpenSSH’s when the tunnel sent everything, and sshd ended before it had written it', () => {
    expect(whose(lied(local, 'target', 'end'), direct(46_302, [received]))).toBe('openssh');
  });

  test('is the tunnel’s when the tunnel sent one that was none, or sent it before the last bytes', () => {
    expect(whose(lied(local, 'target', 'no'), direct(46_302, [received]))).toBe('tunnel');
    expect(whose(lied(local, 'target', 'reset'), direct(46_302, [received, drained]))).toBe('tunnel');
    expect(whose(lied(local, 'target', 'end'), direct(46_302, [received, drained]))).toBe('tunnel');
    expect(whose(lied(remote, 'client', 'reset'), forwarded([received, freed(46_302)]))).toBe('tunnel');
  });
});

describe('a log of sshd', () => {
  test('tells channels of different processes and times apart', () => {
    const other = direct(50_000, [sent]).replaceAll('pid=77', 'pid=78');
    const log = [direct(46_302, [received, drained]), other, freed(0), forwarded([freed(7)])].join('\n');
    expect(readChannels(log)).toMatchObject([
      {
        pid: 77,
        type: 'direct',
        port: 46_302,
        endReceived: true,
        isDrained: true,
        endSent: false,
        isFree: true,
      },
      { pid: 78, type: 'direct', port: 50_000, endReceived: false, endSent: true, isFree: false },
      { pid: 77, type: 'forwarded', port: 7, endReceived: false, isFree: true },
    ]);
  });
});
