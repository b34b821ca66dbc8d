//! A network of a test's own, with servers in it. Needs root.

use super::{Ran, TestBox, run};

/// `dns ADDRESS NAME=ADDRESS...`: a name server that answers with these and has nothing else. `web ADDRESS TEXT` answers
/// every request on port 8080 with that, `web ADDRESS@PORT TEXT` on another port.
pub const SERVERS: &str = r#"
import socket,struct,sys,threading,time
def family(a): return socket.AF_INET6 if ':' in a else socket.AF_INET
def dns(at,table):
    s=socket.socket(family(at),socket.SOCK_DGRAM); s.bind((at,53)); ready()
    while True:
        q,who=s.recvfrom(512)
        name,i=[],12
        while q[i]: name.append(q[i+1:i+1+q[i]].decode().lower()); i+=q[i]+1
        end=i+5; kind=struct.unpack('>H',q[i+1:i+3])[0]
        found=[socket.inet_pton(family(a),a) for n,a in table if n=='.'.join(name)]
        found=[a for a in found if len(a)=={1:4,28:16}.get(kind,0)]
        known=any(n=='.'.join(name) for n,_ in table)
        out=q[:2]+(b'\x81\x80' if known else b'\x81\x83')+struct.pack('>HHHH',1,len(found),0,0)+q[12:end]
        for a in found: out+=b'\xc0\x0c'+struct.pack('>HHIH',kind,1,300,len(a))+a
        s.sendto(out,who)
def web(at,text):
    at,_,port=at.partition('@')
    s=socket.socket(family(at)); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind((at,int(port or 8080))); s.listen(); ready()
    while True:
        c,_=s.accept(); c.recv(65536)
        c.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'%len(text)+text.encode()); c.close()
count=0
def ready():
    global count; count+=1
    if count==len(jobs): open(sys.argv[1],'w').close()
jobs=[j.split() for j in sys.argv[2:]]
for j in jobs:
    f,args=(dns,(j[1],[tuple(x.split('=')) for x in j[2:]])) if j[0]=='dns' else (web,(j[1],' '.join(j[2:])))
    threading.Thread(target=f,args=args,daemon=True).start(); time.sleep(0.05)
time.sleep(600)
"#;

/// Runs `script` in a box that is started in a network of its own: `prepare` is run there before it, and `meanwhile` beside it.
/// `$t` is the world's directory, `servers JOB...` starts servers.
pub fn in_a_network(b: &TestBox, prepare: &str, meanwhile: &str, script: &str) -> Ran {
    let inner = b.command(["/bin/sh", "-c", script]);
    let around = format!(
        "t={{t}}; servers() {{ python3 $t/servers.py $t/ready \"$@\" & s=$!; \
         for i in $(seq 500); do test -e $t/ready && return; sleep 0.02; done; echo no servers; exit 1; }}\n\
         ip link set lo up && mount --bind $t/resolv.conf /etc/resolv.conf || exit 1\n{prepare}\n\
         ({meanwhile}) & m=$!\n\"$@\"\nstatus=$?\nkill $s $m 2>/dev/null\nexit $status"
    );
    let around = b.fill(&around).replace('\'', "'\\''");
    let shell = format!("exec unshare -n -m -- sh -c '{around}' sh \"$@\"");
    run(b.through(&shell, &inner))
}
