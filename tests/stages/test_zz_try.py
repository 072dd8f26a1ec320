from tests.scenario import *
def show(s,i,r):
    print("=====", r.requests, len(sum(r.requests.values(),[])))
    for t in s.repository.issues.values():
        for c in s.comments(t): print("--- comment on",t.number,"\n", c.body)
    for p in s.pull_requests: print("--- PR",p.issue.title,p.draft,"\n",p.issue.body)
    for c in s.check_runs: print("--- CHECK", c.title,c.conclusion,"\n",c.summary,"\n",c.text)
def test_a(scene):
    s=scene; i=s.open_issue(); r=s.start(s.label(i)); print(r.finish()); show(s,i,r)
    pr=s.pull_requests[0]
    r=s.start(s.comment(pr.issue,"/cody fix use decimals"),runtime=ScriptedRuntime(lambda w:(w/"x.md").write_text("x\n"))); print(r.finish()); show(s,pr.issue,r); print(s.git("log","--format=%s",f"main..{next(iter(s.branches()))}"))
    r=s.start(s.label(i),runtime=ScriptedRuntime(lambda w:(w/".github/x").write_text("x\n"))); print(r.finish()); show(s,i,r)
    assert 0
