import time, cProfile, pstats
import pytest
from tests.scenario import *
@pytest.mark.parametrize("x",range(4))
def test_a(scene,x):
    i=scene.open_issue(); 
    ts=[time.perf_counter()]
    e=scene.label(i); r=scene.start(e); 
    r.plan(); ts.append(time.perf_counter()); r.work();ts.append(time.perf_counter()); r.publish();ts.append(time.perf_counter())
    print([round(b-a,2) for a,b in zip(ts,ts[1:])])
@pytest.mark.parametrize("x",range(2))
def test_b(github,x):
    pass
